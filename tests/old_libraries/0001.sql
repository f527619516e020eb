BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE contents (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	digest BLOB NOT NULL, 
	kind VARCHAR NOT NULL, 
	size BIGINT NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	UNIQUE (digest)
);
INSERT INTO "contents" VALUES(1,X'3153EC9486697CA754408775CDE52989','photo',246,8,8);
INSERT INTO "contents" VALUES(2,X'78F28CD4570650238A1277754CEA8BC0','photo',246,8,8);
INSERT INTO "contents" VALUES(3,X'FF225BC7225EA9775BA67CB42713EA3C','photo',288,8,8);
INSERT INTO "contents" VALUES(5,X'28F6F72D0AC2B353FA24AE015B14E53C','photo',246,8,8);
INSERT INTO "contents" VALUES(6,X'0721051FF6FA8538568F9BD32B7DF4DB','photo',246,8,8);
INSERT INTO "contents" VALUES(7,X'8949034428617BFD2AEA7EE2885599A7','photo',177,8,8);
INSERT INTO "contents" VALUES(8,X'FF61B154B3F26A5F3973CB0BA6815053','photo',246,8,8);
INSERT INTO "contents" VALUES(9,X'7F123C4F5198553A7FA171FA4E61A29F','photo',246,8,8);
CREATE TABLE files (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	root_id INTEGER NOT NULL, 
	path BLOB NOT NULL, 
	content_id INTEGER, 
	size BIGINT NOT NULL, 
	mtime_ns BIGINT NOT NULL, 
	inode BIGINT NOT NULL, 
	device BIGINT NOT NULL, 
	gone BOOLEAN NOT NULL, 
	failure TEXT, 
	retry BOOLEAN NOT NULL, 
	UNIQUE (root_id, path), 
	FOREIGN KEY(root_id) REFERENCES roots (id) ON DELETE CASCADE, 
	FOREIGN KEY(content_id) REFERENCES contents (id)
);
INSERT INTO "files" VALUES(1,1,X'62726F6B656E2E626D70',NULL,22,1600000008000000000,2148789,65024,0,'the file is cut short',0);
INSERT INTO "files" VALUES(2,1,X'676F6E652E626D70',1,246,1600000012000000000,2148794,65024,1,NULL,0);
INSERT INTO "files" VALUES(3,1,X'677265656E2E626D70',2,246,1600000002000000000,2148336,65024,0,NULL,0);
INSERT INTO "files" VALUES(4,1,X'6C617465722E68656963',NULL,22,1600000009000000000,2148790,65024,0,'HEIC photos are not supported yet',0);
INSERT INTO "files" VALUES(5,1,X'706169722E637232',NULL,29,1600000007000000000,2148788,65024,0,'RAW photos are not supported yet',0);
INSERT INTO "files" VALUES(6,1,X'706169722E6A7067',3,288,1600000006000000000,2148787,65024,0,NULL,0);
INSERT INTO "files" VALUES(8,1,X'7265642E626D70',5,246,1600000000000000000,2148289,65024,0,NULL,0);
INSERT INTO "files" VALUES(9,1,X'77686974652E626D70',6,246,1600000003000000000,2148337,65024,0,NULL,0);
INSERT INTO "files" VALUES(10,1,X'62656C6F772F6D6F76696E672E676966',7,177,1600000005000000000,2148785,65024,0,NULL,0);
INSERT INTO "files" VALUES(11,1,X'62656C6F772F72656420616761696E2E626D70',5,246,1600000004000000000,2148784,65024,0,NULL,0);
INSERT INTO "files" VALUES(12,2,X'626C75652E626D70',8,246,1600000010000000000,2148792,65024,0,NULL,0);
INSERT INTO "files" VALUES(13,2,X'64726177696E672E676966',9,246,1600000011000000000,2148793,65024,0,NULL,0);
CREATE TABLE library (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	current_space_id INTEGER, 
	FOREIGN KEY(current_space_id) REFERENCES spaces (id)
);
INSERT INTO "library" VALUES(1,2);
CREATE TABLE means (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	space_id INTEGER NOT NULL, 
	modality VARCHAR NOT NULL, 
	count INTEGER NOT NULL, 
	mean BLOB NOT NULL, 
	UNIQUE (space_id, modality), 
	FOREIGN KEY(space_id) REFERENCES spaces (id) ON DELETE CASCADE
);
INSERT INTO "means" VALUES(1,1,'image',9,X'6488873EAB6AD33EABDA173F');
INSERT INTO "means" VALUES(4,2,'image',8,X'003E0E3F0020D13E0040983E');
CREATE TABLE roots (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	path BLOB NOT NULL, 
	UNIQUE (path)
);
INSERT INTO "roots" VALUES(1,X'2F616C62756D');
INSERT INTO "roots" VALUES(2,X'2F6D6F7265');
CREATE TABLE runs (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	space_id INTEGER NOT NULL, 
	finished FLOAT NOT NULL, 
	summary TEXT NOT NULL, 
	FOREIGN KEY(space_id) REFERENCES spaces (id) ON DELETE CASCADE
);
INSERT INTO "runs" VALUES(1,1,1.79562542070605397218e+09,'{"added": 10, "changed": 0, "moved": 0, "gone": 0, "unchanged": 0, "failed": 3, "encoded": 9, "seconds": 0.23, "interrupted": false, "failures": [{"path": "/album/broken.bmp", "reason": "the file is cut short"}, {"path": "/album/later.heic", "reason": "HEIC photos are not supported yet"}, {"path": "/album/pair.cr2", "reason": "RAW photos are not supported yet"}], "notes": [], "photos_per_second": 43.4}');
INSERT INTO "runs" VALUES(2,2,1.79562542135381507878e+09,'{"added": 10, "changed": 0, "moved": 0, "gone": 0, "unchanged": 0, "failed": 3, "encoded": 9, "seconds": 0.05, "interrupted": false, "failures": [{"path": "/album/broken.bmp", "reason": "the file is cut short"}, {"path": "/album/later.heic", "reason": "HEIC photos are not supported yet"}, {"path": "/album/pair.cr2", "reason": "RAW photos are not supported yet"}], "notes": [], "photos_per_second": 199.6}');
INSERT INTO "runs" VALUES(3,2,1.79562542143931603427e+09,'{"added": 0, "changed": 0, "moved": 0, "gone": 1, "unchanged": 9, "failed": 3, "encoded": 0, "seconds": 0.049, "interrupted": false, "failures": [{"path": "/album/broken.bmp", "reason": "the file is cut short"}, {"path": "/album/later.heic", "reason": "HEIC photos are not supported yet"}, {"path": "/album/pair.cr2", "reason": "RAW photos are not supported yet"}], "notes": [], "photos_per_second": 0.0}');
INSERT INTO "runs" VALUES(4,2,1.79562542152645921705e+09,'{"added": 0, "changed": 0, "moved": 0, "gone": 1, "unchanged": 8, "failed": 3, "encoded": 0, "seconds": 0.037, "interrupted": false, "failures": [{"path": "/album/broken.bmp", "reason": "the file is cut short"}, {"path": "/album/later.heic", "reason": "HEIC photos are not supported yet"}, {"path": "/album/pair.cr2", "reason": "RAW photos are not supported yet"}], "notes": [], "photos_per_second": 0.0}');
CREATE TABLE segments (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	content_id INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	FOREIGN KEY(content_id) REFERENCES contents (id) ON DELETE CASCADE
);
INSERT INTO "segments" VALUES(1,1,'whole');
INSERT INTO "segments" VALUES(2,2,'whole');
INSERT INTO "segments" VALUES(3,3,'whole');
INSERT INTO "segments" VALUES(5,5,'whole');
INSERT INTO "segments" VALUES(6,6,'whole');
INSERT INTO "segments" VALUES(7,7,'whole');
INSERT INTO "segments" VALUES(8,8,'whole');
INSERT INTO "segments" VALUES(9,9,'whole');
CREATE TABLE sources (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	path BLOB NOT NULL, 
	folder BOOLEAN NOT NULL, 
	UNIQUE (path)
);
INSERT INTO "sources" VALUES(1,X'2F6D6F7265',1);
INSERT INTO "sources" VALUES(2,X'2F616C62756D',1);
CREATE TABLE spaces (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	revision VARCHAR NOT NULL, 
	dim INTEGER NOT NULL, 
	epoch VARCHAR NOT NULL, 
	UNIQUE (name, revision)
);
INSERT INTO "spaces" VALUES(1,'mirrored','1',3,'b6b30806');
INSERT INTO "spaces" VALUES(2,'fake','1',3,'6e212024');
CREATE TABLE vectors (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	space_id INTEGER NOT NULL, 
	segment_id INTEGER NOT NULL, 
	vector BLOB NOT NULL, 
	UNIQUE (space_id, segment_id), 
	FOREIGN KEY(space_id) REFERENCES spaces (id) ON DELETE CASCADE, 
	FOREIGN KEY(segment_id) REFERENCES segments (id) ON DELETE CASCADE
);
INSERT INTO "vectors" VALUES(1,1,1,X'00002E37263B');
INSERT INTO "vectors" VALUES(2,1,2,X'0000003C0000');
INSERT INTO "vectors" VALUES(3,1,3,X'0000A839A839');
INSERT INTO "vectors" VALUES(5,1,5,X'00000000003C');
INSERT INTO "vectors" VALUES(6,1,6,X'9E389E389E38');
INSERT INTO "vectors" VALUES(7,1,7,X'00000000003C');
INSERT INTO "vectors" VALUES(8,1,8,X'003C00000000');
INSERT INTO "vectors" VALUES(9,1,9,X'6A3A47384734');
INSERT INTO "vectors" VALUES(10,2,1,X'263B2E370000');
INSERT INTO "vectors" VALUES(11,2,2,X'0000003C0000');
INSERT INTO "vectors" VALUES(12,2,3,X'A839A8390000');
INSERT INTO "vectors" VALUES(14,2,5,X'003C00000000');
INSERT INTO "vectors" VALUES(15,2,6,X'9E389E389E38');
INSERT INTO "vectors" VALUES(16,2,7,X'003C00000000');
INSERT INTO "vectors" VALUES(17,2,8,X'00000000003C');
INSERT INTO "vectors" VALUES(18,2,9,X'473447386A3A');
CREATE INDEX ix_files_content_id ON files (content_id);
CREATE INDEX ix_segments_content_id ON segments (content_id);
CREATE INDEX ix_vectors_segment_id ON vectors (segment_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('spaces',2);
INSERT INTO "sqlite_sequence" VALUES('library',1);
INSERT INTO "sqlite_sequence" VALUES('sources',2);
INSERT INTO "sqlite_sequence" VALUES('roots',2);
INSERT INTO "sqlite_sequence" VALUES('contents',9);
INSERT INTO "sqlite_sequence" VALUES('segments',9);
INSERT INTO "sqlite_sequence" VALUES('vectors',18);
INSERT INTO "sqlite_sequence" VALUES('files',13);
INSERT INTO "sqlite_sequence" VALUES('runs',4);
INSERT INTO "sqlite_sequence" VALUES('means',4);
COMMIT;
