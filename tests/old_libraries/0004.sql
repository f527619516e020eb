BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE contents (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	digest BLOB NOT NULL, 
	kind VARCHAR NOT NULL, 
	size BIGINT NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, damaged BOOLEAN DEFAULT '0' NOT NULL, metadata TEXT, heard BOOLEAN DEFAULT '0' NOT NULL, 
	UNIQUE (digest)
);
INSERT INTO "contents" VALUES(1,X'3153EC9486697CA754408775CDE52989','photo',246,8,8,0,'{}',0);
INSERT INTO "contents" VALUES(2,X'78F28CD4570650238A1277754CEA8BC0','photo',246,8,8,0,'{}',0);
INSERT INTO "contents" VALUES(3,X'FF225BC7225EA9775BA67CB42713EA3C','photo',288,8,8,0,'{}',0);
INSERT INTO "contents" VALUES(5,X'28F6F72D0AC2B353FA24AE015B14E53C','photo',246,8,8,0,'{}',0);
INSERT INTO "contents" VALUES(6,X'0721051FF6FA8538568F9BD32B7DF4DB','photo',246,8,8,0,'{}',0);
INSERT INTO "contents" VALUES(7,X'8949034428617BFD2AEA7EE2885599A7','photo',177,8,8,0,'{}',0);
INSERT INTO "contents" VALUES(8,X'FF61B154B3F26A5F3973CB0BA6815053','photo',246,8,8,0,'{}',0);
CREATE TABLE file_tags (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	file_id INTEGER NOT NULL, 
	tag_id INTEGER NOT NULL, 
	source VARCHAR NOT NULL, 
	UNIQUE (file_id, tag_id, source), 
	FOREIGN KEY(file_id) REFERENCES files (id) ON DELETE CASCADE, 
	FOREIGN KEY(tag_id) REFERENCES tags (id) ON DELETE CASCADE
);
INSERT INTO "file_tags" VALUES(1,7,1,'file');
INSERT INTO "file_tags" VALUES(2,7,2,'file');
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
	retry BOOLEAN NOT NULL, primary_id INTEGER REFERENCES files (id) ON DELETE SET NULL, beside VARCHAR, 
	UNIQUE (root_id, path), 
	FOREIGN KEY(root_id) REFERENCES roots (id) ON DELETE CASCADE, 
	FOREIGN KEY(content_id) REFERENCES contents (id)
);
INSERT INTO "files" VALUES(1,1,X'62726F6B656E2E626D70',NULL,22,1600000008000000000,2147460,65024,0,'the file is cut short',0,NULL,NULL);
INSERT INTO "files" VALUES(2,1,X'676F6E652E626D70',1,246,1600000012000000000,2147510,65024,1,NULL,0,NULL,NULL);
INSERT INTO "files" VALUES(3,1,X'677265656E2E626D70',2,246,1600000002000000000,2147317,65024,0,NULL,0,NULL,NULL);
INSERT INTO "files" VALUES(4,1,X'6C617465722E68656963',NULL,22,1600000009000000000,2147475,65024,0,'damaged: its header cannot be read',0,NULL,NULL);
INSERT INTO "files" VALUES(5,1,X'706169722E6A7067',3,288,1600000006000000000,2147428,65024,0,NULL,0,NULL,NULL);
INSERT INTO "files" VALUES(7,1,X'7265642E626D70',5,246,1600000000000000000,2147289,65024,0,NULL,0,NULL,'c68f9d86e8d78264');
INSERT INTO "files" VALUES(8,1,X'77686974652E626D70',6,246,1600000003000000000,2147336,65024,0,NULL,0,NULL,NULL);
INSERT INTO "files" VALUES(9,1,X'62656C6F772F6D6F76696E672E676966',7,177,1600000005000000000,2147423,65024,0,NULL,0,NULL,NULL);
INSERT INTO "files" VALUES(10,1,X'62656C6F772F72656420616761696E2E626D70',5,246,1600000004000000000,2147386,65024,0,NULL,0,NULL,NULL);
INSERT INTO "files" VALUES(11,1,X'706169722E637232',NULL,29,1600000007000000000,2147443,65024,0,NULL,0,5,NULL);
INSERT INTO "files" VALUES(12,2,X'626C75652E626D70',8,246,1600000010000000000,2147504,65024,0,NULL,0,NULL,NULL);
CREATE TABLE library (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	current_space_id INTEGER, preview INTEGER, tier VARCHAR, 
	FOREIGN KEY(current_space_id) REFERENCES spaces (id)
);
INSERT INTO "library" VALUES(1,1,128,NULL);
CREATE TABLE means (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	space_id INTEGER NOT NULL, 
	modality VARCHAR NOT NULL, 
	count INTEGER NOT NULL, 
	mean BLOB NOT NULL, 
	UNIQUE (space_id, modality), 
	FOREIGN KEY(space_id) REFERENCES spaces (id) ON DELETE CASCADE
);
INSERT INTO "means" VALUES(4,1,'image',8,X'00B0053F00E8AE3E00F0A43E');
INSERT INTO "means" VALUES(5,2,'image',7,X'C9DBBC3E4912A73EDB36F03E');
CREATE TABLE metadata (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	file_id INTEGER NOT NULL, 
	taken VARCHAR, 
	"offset" INTEGER, 
	taken_from VARCHAR, 
	latitude FLOAT, 
	longitude FLOAT, 
	altitude FLOAT, 
	make VARCHAR, 
	camera VARCHAR, 
	lens VARCHAR, 
	exposure FLOAT, 
	aperture FLOAT, 
	iso INTEGER, 
	focal_length FLOAT, 
	rating INTEGER, 
	title TEXT, 
	description TEXT, 
	motion BOOLEAN NOT NULL, 
	town VARCHAR, 
	region VARCHAR, 
	country VARCHAR, duration FLOAT, artist TEXT, 
	UNIQUE (file_id), 
	FOREIGN KEY(file_id) REFERENCES files (id) ON DELETE CASCADE
);
INSERT INTO "metadata" VALUES(1,2,'2020-09-13T12:26:52',0,'modified',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "metadata" VALUES(2,3,'2020-09-13T12:26:42',0,'modified',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "metadata" VALUES(3,5,'2020-09-13T12:26:46',0,'modified',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "metadata" VALUES(5,7,'2020-09-13T12:26:40',0,'modified',4.88582333333333309602e+01,2.2945,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,4,NULL,NULL,0,'Vanves','Île-de-France','FR',NULL,NULL);
INSERT INTO "metadata" VALUES(6,8,'2020-09-13T12:26:43',0,'modified',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "metadata" VALUES(8,10,'2020-09-13T12:26:44',0,'modified',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "metadata" VALUES(9,12,'2020-09-13T12:26:50',0,'modified',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "metadata" VALUES(10,9,'2020-09-13T12:26:45',0,'modified',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL);
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
INSERT INTO "runs" VALUES(1,1,1.7956488652372715473e+09,'{"added": 8, "changed": 0, "moved": 0, "gone": 0, "unchanged": 0, "failed": 2, "encoded": 7, "damaged": 0, "seconds": 1.429, "dry_run": false, "interrupted": false, "notes": [], "photos_per_second": 5.6}');
INSERT INTO "runs" VALUES(2,1,1.79564886530725240703e+09,'{"added": 1, "changed": 0, "moved": 0, "gone": 0, "unchanged": 0, "failed": 0, "encoded": 1, "damaged": 0, "seconds": 0.038, "dry_run": false, "interrupted": false, "notes": [], "photos_per_second": 26.3}');
INSERT INTO "runs" VALUES(3,1,1.79564886533004570002e+09,'{"added": 0, "changed": 0, "moved": 0, "gone": 1, "unchanged": 8, "failed": 2, "encoded": 0, "damaged": 0, "seconds": 0.006, "dry_run": false, "interrupted": false, "notes": [], "photos_per_second": 0.0}');
INSERT INTO "runs" VALUES(4,1,1.79564886536727738378e+09,'{"added": 0, "changed": 0, "moved": 0, "gone": 1, "unchanged": 7, "failed": 2, "encoded": 0, "damaged": 0, "seconds": 0.006, "dry_run": false, "interrupted": false, "notes": [], "photos_per_second": 0.0}');
INSERT INTO "runs" VALUES(5,2,1.79564886541822719577e+09,'{"added": 7, "changed": 0, "moved": 0, "gone": 0, "unchanged": 0, "failed": 2, "encoded": 6, "damaged": 0, "seconds": 0.03, "dry_run": false, "interrupted": false, "notes": [], "photos_per_second": 229.6}');
CREATE TABLE segments (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	content_id INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, start FLOAT, "end" FLOAT, 
	FOREIGN KEY(content_id) REFERENCES contents (id) ON DELETE CASCADE
);
INSERT INTO "segments" VALUES(1,1,'whole',NULL,NULL);
INSERT INTO "segments" VALUES(2,2,'whole',NULL,NULL);
INSERT INTO "segments" VALUES(3,3,'whole',NULL,NULL);
INSERT INTO "segments" VALUES(5,5,'whole',NULL,NULL);
INSERT INTO "segments" VALUES(6,6,'whole',NULL,NULL);
INSERT INTO "segments" VALUES(7,7,'whole',NULL,NULL);
INSERT INTO "segments" VALUES(8,7,'middle',NULL,NULL);
INSERT INTO "segments" VALUES(9,8,'whole',NULL,NULL);
CREATE TABLE sources (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	path BLOB NOT NULL, 
	folder BOOLEAN NOT NULL, walk TEXT, 
	UNIQUE (path)
);
INSERT INTO "sources" VALUES(1,X'2F616C62756D',1,'{"exclude": null, "hidden": null, "follow_symlinks": null}');
INSERT INTO "sources" VALUES(2,X'2F6D6F7265',1,'{"exclude": ["*.gif"], "hidden": null, "follow_symlinks": null}');
CREATE TABLE spaces (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	revision VARCHAR NOT NULL, 
	dim INTEGER NOT NULL, 
	precision VARCHAR DEFAULT 'fp32' NOT NULL, self_test TEXT, modality VARCHAR DEFAULT 'image' NOT NULL, 
	UNIQUE (name, revision)
);
INSERT INTO "spaces" VALUES(1,'fake','1',3,'fp32',NULL,'image');
INSERT INTO "spaces" VALUES(2,'mirrored','1',3,'fp32','[{"precision": "int8", "photos": 200, "cosine": 0.5, "overlap": 0.5, "speedup": 2.0, "passed": false, "reason": "too far"}]','image');
CREATE TABLE tags (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	UNIQUE (name)
);
INSERT INTO "tags" VALUES(1,'holiday');
INSERT INTO "tags" VALUES(2,'tower');
CREATE TABLE tombstones (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	space_id INTEGER NOT NULL, 
	vector_id INTEGER NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	FOREIGN KEY(space_id) REFERENCES spaces (id) ON DELETE CASCADE
);
CREATE TABLE towers (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	space_id INTEGER NOT NULL, 
	revision VARCHAR NOT NULL, 
	weights BLOB NOT NULL, 
	report TEXT NOT NULL, 
	UNIQUE (space_id), 
	FOREIGN KEY(space_id) REFERENCES spaces (id) ON DELETE CASCADE
);
INSERT INTO "towers" VALUES(1,1,'9a129038',X'77656967687473','{"kind": "ridge"}');
CREATE TABLE vectors (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	space_id INTEGER NOT NULL, 
	segment_id INTEGER NOT NULL, 
	vector BLOB NOT NULL, from_preview BOOLEAN DEFAULT '0' NOT NULL, 
	UNIQUE (space_id, segment_id), 
	FOREIGN KEY(space_id) REFERENCES spaces (id) ON DELETE CASCADE, 
	FOREIGN KEY(segment_id) REFERENCES segments (id) ON DELETE CASCADE
);
INSERT INTO "vectors" VALUES(1,1,1,X'263B2E370000',0);
INSERT INTO "vectors" VALUES(2,1,2,X'0000003C0000',0);
INSERT INTO "vectors" VALUES(3,1,3,X'A839A8390000',0);
INSERT INTO "vectors" VALUES(5,1,5,X'003C00000000',0);
INSERT INTO "vectors" VALUES(6,1,6,X'9E389E389E38',0);
INSERT INTO "vectors" VALUES(7,1,7,X'003C00000000',0);
INSERT INTO "vectors" VALUES(8,1,8,X'00000000003C',0);
INSERT INTO "vectors" VALUES(9,1,9,X'00000000003C',0);
INSERT INTO "vectors" VALUES(10,2,2,X'0000003C0000',1);
INSERT INTO "vectors" VALUES(11,2,3,X'0000A839A839',1);
INSERT INTO "vectors" VALUES(12,2,5,X'051D0000003C',1);
INSERT INTO "vectors" VALUES(13,2,6,X'9E389E389E38',1);
INSERT INTO "vectors" VALUES(14,2,7,X'00000000003C',0);
INSERT INTO "vectors" VALUES(15,2,8,X'003C00000000',0);
INSERT INTO "vectors" VALUES(16,2,9,X'003C00000000',1);
CREATE INDEX ix_files_content_id ON files (content_id);
CREATE INDEX ix_segments_content_id ON segments (content_id);
CREATE INDEX ix_vectors_segment_id ON vectors (segment_id);
CREATE INDEX ix_files_primary_id ON files (primary_id);
CREATE INDEX ix_metadata_taken ON metadata (taken);
CREATE INDEX ix_file_tags_tag_id ON file_tags (tag_id);
CREATE INDEX ix_vectors_space_id ON vectors (space_id);
CREATE INDEX ix_files_gone ON files (content_id) WHERE gone;
CREATE INDEX ix_tombstones_space_id ON tombstones (space_id);
CREATE INDEX ix_contents_recordings ON contents (kind) WHERE kind != 'photo';
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('towers',1);
INSERT INTO "sqlite_sequence" VALUES('spaces',2);
INSERT INTO "sqlite_sequence" VALUES('library',1);
INSERT INTO "sqlite_sequence" VALUES('sources',2);
INSERT INTO "sqlite_sequence" VALUES('roots',2);
INSERT INTO "sqlite_sequence" VALUES('contents',8);
INSERT INTO "sqlite_sequence" VALUES('segments',9);
INSERT INTO "sqlite_sequence" VALUES('vectors',16);
INSERT INTO "sqlite_sequence" VALUES('files',12);
INSERT INTO "sqlite_sequence" VALUES('metadata',10);
INSERT INTO "sqlite_sequence" VALUES('tags',2);
INSERT INTO "sqlite_sequence" VALUES('file_tags',2);
INSERT INTO "sqlite_sequence" VALUES('runs',5);
INSERT INTO "sqlite_sequence" VALUES('means',5);
INSERT INTO "sqlite_sequence" VALUES('tombstones',1);
COMMIT;
