"""Sidecars as programs write them. What says their tags stands between ⟦ and ⟧; nothing else may ever change."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """A sidecar: all of it, and what is left without the three properties that hold tags."""

    whole: bytes
    rest: bytes


def marked(text: str, encoding: str = "utf-8") -> Sample:
    """Take a text apart at its marks."""
    parts = [re.sub("[⟦⟧]", "", text), re.sub("⟦.*?⟧", "", text, flags=re.DOTALL)]
    return Sample(*(part.encode(encoding, "xmlcharrefreplace") for part in parts))


_RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'

DIGIKAM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
    xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:acdsee="http://ns.acdsee.com/iptc/1.0/"
   digiKam:PickLabel="0"
   digiKam:ColorLabel="0"
   xmp:Rating="3"
   acdsee:categories="&lt;Categories&gt;&lt;Category Assigned=&quot;1&quot;&gt;day&lt;/Category&gt;">⟦
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>Places/Vienna</rdf:li>
     <rdf:li>day</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>⟧
   <MicrosoftPhoto:LastKeywordXMP>
    <rdf:Bag>
     <rdf:li>Places/Vienna</rdf:li>
    </rdf:Bag>
   </MicrosoftPhoto:LastKeywordXMP>⟦
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Places|Vienna</rdf:li>
     <rdf:li>day</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>⟧
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:RegionList>
     <rdf:Bag>
      <rdf:li>
       <rdf:Description mwg-rs:Name="Anna" mwg-rs:Type="Face">
        <mwg-rs:Area stArea:x="0.5" stArea:y="0.4" stArea:w="0.1" stArea:h="0.2" stArea:unit="normalized"/>
       </rdf:Description>
      </rdf:li>
     </rdf:Bag>
    </mwg-rs:RegionList>
   </mwg-rs:Regions>⟦
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Vienna</rdf:li>
     <rdf:li>day</rdf:li>
    </rdf:Bag>
   </dc:subject>⟧
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""

DARKTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:darktable="http://darktable.sf.net/"
   exif:DateTimeOriginal="2023:06:01 12:34:56.780"
   xmp:Rating="1"
   darktable:xmp_version="5"
   darktable:raw_params="0"
   darktable:auto_presets_applied="1"
   darktable:history_end="2"
   darktable:iop_order_version="2">
   <darktable:masks_history>
    <rdf:Seq/>
   </darktable:masks_history>
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="exposure"
      darktable:enabled="1"
      darktable:modversion="6"
      darktable:params="00000000000080b90000003f000048420000c0c0"
      darktable:blendop_params="gz11eJxjYGBgkGAAgRNODESDBnsIHll8ANNSGQM="/>
     <rdf:li
      darktable:num="1"
      darktable:operation="crop"
      darktable:params="0000000000000000"/>
    </rdf:Seq>
   </darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

LIGHTROOM_RAW = """<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000, 0000/00/00        ">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   xmp:CreatorTool="Adobe Lightroom 7.0"
   xmp:Rating="4"
   dc:format="image/x-canon-cr2"
   crs:Version="15.0"
   crs:ProcessVersion="11.0"
   crs:Temperature="5150"
   crs:Exposure2012="+0.35"
   crs:ToneCurveName2012="Linear"
   crs:RawFileName="IMG_1.CR2">
   <xmpMM:History>
    <rdf:Seq>
     <rdf:li
      stEvt:action="derived"
      stEvt:parameters="saved to new location"/>
    </rdf:Seq>
   </xmpMM:History>⟦
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Austria</rdf:li>
     <rdf:li>Places</rdf:li>
     <rdf:li>Vienna</rdf:li>
     <rdf:li>day</rdf:li>
    </rdf:Bag>
   </dc:subject>⟧⟦
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Places|Austria|Vienna</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>⟧
   <crs:ToneCurvePV2012>
    <rdf:Seq>
     <rdf:li>0, 0</rdf:li>
     <rdf:li>255, 255</rdf:li>
    </rdf:Seq>
   </crs:ToneCurvePV2012>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

APPLE = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 6.0.0">
   <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
      <rdf:Description rdf:about=""
            xmlns:exif="http://ns.adobe.com/exif/1.0/"
            xmlns:dc="http://purl.org/dc/elements/1.1/"
            xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/">
         <exif:GPSLongitude>16,22.3248E</exif:GPSLongitude>
         <exif:GPSLatitude>48,12.5094N</exif:GPSLatitude>
         <dc:title>
            <rdf:Alt>
               <rdf:li xml:lang="x-default">Dom, São „Stephan“</rdf:li>
            </rdf:Alt>
         </dc:title>⟦
         <dc:subject>
            <rdf:Seq>
               <rdf:li>day</rdf:li>
               <rdf:li>Café</rdf:li>
            </rdf:Seq>
         </dc:subject>⟧
         <photoshop:DateCreated>2023-06-01T12:34:56+02:00</photoshop:DateCreated>
      </rdf:Description>
   </rdf:RDF>
</x:xmpmeta>
"""

EXIFTOOL = """<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk='Image::ExifTool 12.57'>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>

 <rdf:Description rdf:about=''
  xmlns:dc='http://purl.org/dc/elements/1.1/'>
  <dc:description>
   <rdf:Alt>
    <rdf:li xml:lang='x-default'>By the sea &amp; &#x201C;further&#x201D;</rdf:li>
   </rdf:Alt>
  </dc:description>⟦
  <dc:subject>
   <rdf:Bag>
    <rdf:li>day</rdf:li>
   </rdf:Bag>
  </dc:subject>⟧
 </rdf:Description>

 <rdf:Description rdf:about=''
  xmlns:tiff='http://ns.adobe.com/tiff/1.0/'>
  <tiff:Make>Canon</tiff:Make>
 </rdf:Description>

 <rdf:Description rdf:about=''
  xmlns:xmp='http://ns.adobe.com/xap/1.0/'>
  <xmp:Rating>5</xmp:Rating>
 </rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end='w'?>"""

COMPACT = (
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {_RDF}><rdf:Description rdf:about="" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="2" xmp:Label="a/"/></rdf:RDF></x:xmpmeta>'
)

OTHER_PREFIXES = """<?xml version='1.0'?><!-- dc:subject="no" --><?keep <dc:subject/> ?>
<r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:purl = "http://purl.org/dc/elements/1.1/"
\txmlns:dc='urn:not-dublin' xmlns:digiKam='urn:not-digikam' xmlns:lr='http://ns.adobe.com/lightroom/1.0/'>
\t<r:Description  r:about = ''  dc:subject = 'not a tag at all'⟦\tpurl:subject = "day"⟧  lr:weighted='x' >
\t\t<dc:subject>not a tag, too</dc:subject>
\t\t<x xmlns='urn:y'><subject/><![CDATA[ <purl:subject>no</purl:subject> ]]></x >
\t</r:Description >
</r:RDF >
<!-- the end -->
"""

DEFAULT_NAMESPACE = """<RDF xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <Description>⟦
    <subject xmlns="http://purl.org/dc/elements/1.1/"><Bag xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    ><li>day</li></Bag></subject>⟧
    <Rating xmlns="http://ns.adobe.com/xap/1.0/">1</Rating>
  </Description>
</RDF>
"""

TWICE = (
    f'<rdf:RDF {_RDF} xmlns:dc="http://purl.org/dc/elements/1.1/">\n'
    ' <rdf:Description rdf:about=""⟦ dc:subject="day"⟧>'
    "⟦\n  <dc:subject><rdf:Bag><rdf:li>a</rdf:li></rdf:Bag></dc:subject>⟧\n"
    "  <dc:creator>Anna</dc:creator>\n </rdf:Description>\n"
    ' <rdf:Description rdf:about="">⟦\n  <dc:subject/>⟧\n  <dc:source>here</dc:source>\n'
    " </rdf:Description>\n</rdf:RDF>"
)

BOUND_OUTSIDE = """<x:xmpmeta xmlns:x='adobe:ns:meta/' xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'
 xmlns:d='http://purl.org/dc/elements/1.1/'><r:RDF><r:Description⟦ d:subject='day'⟧ r:about=''/></r:RDF>
</x:xmpmeta>"""

NOTHING = f"<rdf:RDF {_RDF}/>\n".encode()

SAMPLES = {
    "digikam": marked(DIGIKAM),
    "darktable": marked(DARKTABLE),
    "lightroom": marked(LIGHTROOM_RAW),
    "apple": marked(APPLE),
    "exiftool": marked(EXIFTOOL),
    "compact": marked(COMPACT),
    "other-prefixes": marked(OTHER_PREFIXES),
    "default-namespace": marked(DEFAULT_NAMESPACE),
    "hard": marked(OTHER_PREFIXES.replace("1.0/'", "1&#46;0/'").replace("at all", "> at all")),
    "bound-outside": marked(BOUND_OUTSIDE),
    "twice": marked(TWICE),
    "bom": marked("\ufeff" + DARKTABLE),
    "crlf": marked(DIGIKAM.replace("\n", "\r\n")),
    "cr": marked(APPLE.replace("\n", "\r")),
    "padded": marked(DIGIKAM.replace("<?xpacket end", (" " * 99 + "\n") * 20 + "<?xpacket end")),
    "around": marked(f"\n\0 {DARKTABLE}\0\0 \r\n"),
    "utf-16": marked("\ufeff" + APPLE.replace("UTF-8", "UTF-16"), "utf-16-le"),
    "utf-16-be": marked("\ufeff" + EXIFTOOL.removeprefix("\ufeff"), "utf-16-be"),
    "latin-1": marked(APPLE.replace("UTF-8", "iso-8859-1"), "iso-8859-1"),
}
