"""Language codes of ISO 639: all with two letters, and those of three that safety sets use where there are no two."""

from __future__ import annotations

from ahalab.errors import UserError
from ahalab.validation import nearest

_TWO = """
    aa=Afar ab=Abkhazian ae=Avestan af=Afrikaans ak=Akan am=Amharic an=Aragonese ar=Arabic as=Assamese av=Avaric
    ay=Aymara az=Azerbaijani ba=Bashkir be=Belarusian bg=Bulgarian bi=Bislama bm=Bambara bn=Bengali bo=Tibetan
    br=Breton bs=Bosnian ca=Catalan ce=Chechen ch=Chamorro co=Corsican cr=Cree cs=Czech cu=Church_Slavic cv=Chuvash
    cy=Welsh da=Danish de=German dv=Dhivehi dz=Dzongkha ee=Ewe el=Greek en=English eo=Esperanto es=Spanish et=Estonian
    eu=Basque fa=Persian ff=Fulah fi=Finnish fj=Fijian fo=Faroese fr=French fy=Western_Frisian ga=Irish
    gd=Scottish_Gaelic gl=Galician gn=Guarani gu=Gujarati gv=Manx ha=Hausa he=Hebrew hi=Hindi ho=Hiri_Motu hr=Croatian
    ht=Haitian hu=Hungarian hy=Armenian hz=Herero ia=Interlingua id=Indonesian ie=Interlingue ig=Igbo ii=Sichuan_Yi
    ik=Inupiaq io=Ido is=Icelandic it=Italian iu=Inuktitut ja=Japanese jv=Javanese ka=Georgian kg=Kongo ki=Kikuyu
    kj=Kuanyama kk=Kazakh kl=Kalaallisut km=Khmer kn=Kannada ko=Korean kr=Kanuri ks=Kashmiri ku=Kurdish kv=Komi
    kw=Cornish ky=Kyrgyz la=Latin lb=Luxembourgish lg=Ganda li=Limburgish ln=Lingala lo=Lao lt=Lithuanian
    lu=Luba-Katanga lv=Latvian mg=Malagasy mh=Marshallese mi=Maori mk=Macedonian ml=Malayalam mn=Mongolian mr=Marathi
    ms=Malay mt=Maltese my=Burmese na=Nauru nb=Norwegian_Bokmål nd=North_Ndebele ne=Nepali ng=Ndonga nl=Dutch
    nn=Norwegian_Nynorsk no=Norwegian nr=South_Ndebele nv=Navajo ny=Nyanja oc=Occitan oj=Ojibwa om=Oromo or=Odia
    os=Ossetian pa=Punjabi pi=Pali pl=Polish ps=Pashto pt=Portuguese qu=Quechua rm=Romansh rn=Rundi ro=Romanian
    ru=Russian rw=Kinyarwanda sa=Sanskrit sc=Sardinian sd=Sindhi se=Northern_Sami sg=Sango si=Sinhala sk=Slovak
    sl=Slovenian sm=Samoan sn=Shona so=Somali sq=Albanian sr=Serbian ss=Swati st=Southern_Sotho su=Sundanese sv=Swedish
    sw=Swahili ta=Tamil te=Telugu tg=Tajik th=Thai ti=Tigrinya tk=Turkmen tl=Tagalog tn=Tswana to=Tonga tr=Turkish
    ts=Tsonga tt=Tatar tw=Twi ty=Tahitian ug=Uyghur uk=Ukrainian ur=Urdu uz=Uzbek ve=Venda vi=Vietnamese vo=Volapük
    wa=Walloon wo=Wolof xh=Xhosa yi=Yiddish yo=Yoruba za=Zhuang zh=Chinese zu=Zulu
"""
_THREE = """
    ace=Acehnese arz=Egyptian_Arabic ast=Asturian awa=Awadhi ban=Balinese bho=Bhojpuri ceb=Cebuano ckb=Central_Kurdish
    fil=Filipino fon=Fon fur=Friulian haw=Hawaiian hil=Hiligaynon hmn=Hmong hne=Chhattisgarhi ilo=Iloko kab=Kabyle
    kam=Kamba kea=Kabuverdianu kmr=Northern_Kurdish lij=Ligurian lmo=Lombard luo=Luo lus=Mizo mad=Madurese mag=Magahi
    mai=Maithili min=Minangkabau mni=Manipuri mos=Mossi nan=Min_Nan nso=Northern_Sotho pag=Pangasinan pam=Pampanga
    pap=Papiamento pcm=Nigerian_Pidgin sat=Santali scn=Sicilian shn=Shan szl=Silesian tet=Tetum tpi=Tok_Pisin
    tum=Tumbuka tzm=Central_Atlas_Tamazight umb=Umbundu vec=Venetian war=Waray wuu=Wu yue=Cantonese zgh=Tamazight
"""
LANGUAGES: dict[str, str] = {
    code: name.replace("_", " ")
    for code, _, name in (pair.partition("=") for pair in f"{_TWO}{_THREE}".split())
}
"""Code → English name, as ISO 639 has them (names of several words shortened)."""


def language_name(code: str) -> str:
    """The English name; the code itself where it is not in our list."""
    return LANGUAGES.get(code, code)


def check_code(code: str, where: str) -> str:
    """The code itself.

    Raises:
        UserError: it is none of ISO 639 that we know; names the nearest, or the code of a language's name.
    """
    if code in LANGUAGES:
        return code
    named = {name.lower(): key for key, name in LANGUAGES.items()}
    near = named.get(code.strip().lower()) or nearest(code, LANGUAGES) or "en"
    raise UserError(
        f"{where}: {code!r} is no language code of ISO 639 that is known here; did you mean {near!r} "
        f"({LANGUAGES[near]})? Two letters where a language has them (it, sw, zh), else three (ceb, yue)"
    )
