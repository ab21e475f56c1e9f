"""Continuations that speak of a missing image, or of being a model, instead of going on with the answer.

A model that was shown no image sometimes says so. Such a rejected answer teaches to talk about images, not to look at
them. English, Chinese, Japanese and Korean wordings are known; others pass. The decision to question: a good answer
that talks the same way ("As an AI, I cannot ...") takes the filter out for its row, because then the talk is no
trace of the missing image.
"""

import re

_THING = (
    r"(?:images?|pictures?|photos?|photographs?|figures?|screenshots?|diagrams?|charts?|visuals?"
    r"|visual (?:content|data))"
)
# "There is no picture" is said of the question; "no pictures" are missing on a wall, "no figure" in a doorway.
_ONE = r"(?:image|picture|photo|photograph|screenshot|visual (?:content|data))"
_ASKED = r"(?:question|message|prompt|conversation|request|context|problem|chat|post|query|text|input|task)"
# A picture can also be attached to a wall, or be given a caption.
_GIVEN = (
    r"(?:provided|attached|uploaded|given|shared|included|loaded|supplied)\b(?! (?:an?|any|the)\b)"
    rf"(?! (?:in|by|with|on|at|to|for|of|as|from|behind|under)\b(?! (?:you|me|us|your|this|(?:the|this) {_ASKED})\b))"
)
_SHOWN = r"(?:available|visible|displayed|present|shown)(?= here\b| to me\b| in (?:your|this|the) |\s*(?:[.!?,;]|\Z))"
# Behind what is missing: the end, or what follows from it.
_MISSING = (
    r"(?=\s*(?:[.!?;:)\n]|\Z|here\b)|,? (?:so|therefore|thus|hence|but|and) (?:I|we|it)\b|,? I\b"
    rf"| (?:in|with) (?:your|this|the) {_ASKED}\b| to (?:look|see|analy|view|work|go|refer)"
    rf"|(?: (?:that )?(?:is|was|were|are))? {_GIVEN})"
)
_UNABLE = (
    r"(?:can(?:no|['’]?)t|can not|could not|couldn['’]t|(?:['’]m|am|are|was) (?:unable|not able) to|unable to"
    r"|not able to|(?:do not|don['’]t) have (?:the (?:ability|capability|means) to|access to|any)"
    r"|have no (?:access to|way (?:to|of))|lack(?:ing)? the ability to|incapable of)"
)
_LOOK = (
    r"(?:(?:directly|actually|physically|currently|fully) )?"
    r"(?:see(?:ing)?|view(?:ing)?|access(?:ing)?|open(?:ing)?|display|observe|analy[sz]e|look at|inspect|perceive"
    r"|interpret(?:ing)?|process(?:ing)?|examine)"
)
# What one cannot do, seeing the picture.
_OTHER = (
    r"(?! (?:believe|tell|say|know|think|help but|wait|imagine|stop|remember|recall|be (?:sure|certain))\b)"
)
# What is behind a picture or not clear in it is seen by who sees the picture.
_WHOLE = r"(?! (?:on|behind|under|above|clearly|frame|title|caption|label)\b)"
_HARD = r"(?:impossible|difficult|hard|unable|not possible|cannot|can['’]t)"
_SEEING = r"without (?:seeing|access to|being able to see|viewing|looking at)"
_ASSISTANT = r"(?:AI\b|artificial intelligence|(?:large )?language model|text-based)"

_CJK_SEE = (
    r"(?:看到|看见|看見|看清|查看|访问|訪問|識別"
    r"|识别|辨认|打开|打開|显示|顯示|读取|讀取|获取|獲取|分析|处理|處理|加载|浏览|瀏覽)"
)
# 图书 are books, 图例 legends; what is or is not *in* the picture (图中) is seen by who sees it.
_CJK_THING = r"(?:[图圖](?![书書例表案标標形腾騰])(?:[片像]|)|照片|相片|截屏)(?![中里裡上内內的])"
_CJK_I = r"(?:我(?:们|們)?|\A|[。！？\n]|(?:抱歉|对不起|對不起|遗憾|遺憾)[，,]?)[^。！？，,\n]{0,4}?"
_CJK_ASKED = (
    r"(?:(?:您|你|因为|因為|由于|由於|题目|題目|问题|問題|这里)[^。！？，,\n]{0,2}?|\A|[。！？，,\n])"
)
_CJK_END = r"(?=\s*(?:[，。,！？!?\n]|\Z|可|供|来|作|做|信息|资料))"
_CJK_MODEL = r"(?:人工智能|人工智慧|AI|语言模型|語言模型|大模型|大语言模型)"
_CJK_A = r"(?:一个|一個|一名|一款)?"

_COMMENTARY = re.compile(
    "|".join(
        (
            rf"\bI\b(?:,? (?:[a-z]+ly|also|still|just|do),?)?\s*{_UNABLE}{_OTHER}[^.!?\n]{{0,60}}?\b{_THING}\b{_WHOLE}",
            rf"(?:\bwe (?:are )?|\A|[.!?\n])\s*(?:(?:sorry|unfortunately|however)\W+)?{_UNABLE} {_LOOK}"
            rf"(?: (?:or|and) {_LOOK})?(?: (?:the|this|that|your|any|an?|these|those))?"
            rf"(?: (?:attached|provided|uploaded|actual|original|given))? {_THING}\b{_WHOLE}",
            rf"\b(?:I|we) (?:do not|don['’]t|did not|didn['’]t) (?:actually )?(?:see|have) (?:any|an|the|your|a) "
            rf"(?:[a-z]+ )?{_ONE}s?{_MISSING}",
            rf"\b(?:there (?:is|was)|there['’]s|I see|since|as|sorry,?|but) no {_ONE}{_MISSING}",
            rf"\bno {_THING}\b[^.!?,;\n]{{0,15}}?\b{_GIVEN}",
            rf"(?:\A|[.!?,;:\n]\s*|there (?:is|was)|there['’]s|\b(?:since|as|because|but) )\s*"
            rf"no {_ONE}(?: (?:is|was))? {_SHOWN}",
            rf"\b{_THING}\b[^.!?\n]{{0,20}}?"
            rf"\b(?:is|was|are|were|has|have)(?: not|n['’]t)"
            rf"(?: (?:yet|been|actually|being|currently)){{0,2}} (?:{_GIVEN}|{_SHOWN})",
            r"\b(?:please|could you|can you|if you (?:can|could))\b[^.!?\n]{0,20}?"
            rf"\b(?:provide|upload|attach|share|send|describe)\b[^.!?\n]{{0,30}}?\b{_THING}\b",
            rf"\b{_HARD}\b[^.!?\n]{{0,60}}?\b{_SEEING}\b[^.!?\n]{{0,20}}?\b{_THING}\b",
            rf"\b{_SEEING}\b[^.!?\n]{{0,20}}?\b{_THING}\b, (?:I|we|it|one)\b[^.!?\n]{{0,40}}?\b{_HARD}\b",
            rf"\bwithout (?:the|an?|any) (?:[a-z]+ )?{_THING}\b"
            rf"(?: (?:or|and)(?: [a-z]+){{1,3}}?)?(?: (?:itself|{_GIVEN}))?, "
            rf"(?:I|we|it|one)\b[^.!?\n]{{0,40}}?\b{_HARD}\b",
            rf"\b(?:you|{_ASKED}) (?:does|do|did)(?: not|n['’]t) "
            rf"(?:provide|include|come with) (?:an?|any|the) {_THING}\b",
            rf"\bas an? {_ASSISTANT}[^.!?\n]{{0,60}}?\b(?:I|me|my)\b",
            rf"\bI(?:['’]m| am) (?:just |only )?an? (?:{_ASSISTANT}|virtual assistant)",
            # Chinese
            rf"{_CJK_I}(?:无法|無法|不能|不可以|没有办法|沒有辦法|没办法|无从|無從)[^。！？，,\n]{{0,8}}{_CJK_SEE}[^。！？\n]{{0,8}}{_CJK_THING}",
            rf"{_CJK_THING}[^。！？，,\n中里裡上内內]{{0,4}}(?:无法|無法|不能|未能|没有|沒有|未)(?:被)?"
            rf"(?:{_CJK_SEE}|提供|上传|上傳|附上|给出)(?:出来|成功|给我|了)?(?=\s*(?:[，。,！？!?\n]|\Z))",
            rf"{_CJK_I}看不(?:到|见|見|了)[^。！？，,\n]{{0,8}}{_CJK_THING}",
            rf"{_CJK_ASKED}(?:没有|沒有|未|并未|並未|没)(?:提供|上传|上傳|看到|看见|看見|收到|附上?|发送|给出)[^。！？\n]{{0,8}}{_CJK_THING}",
            rf"(?:因为|由于|由於|因為|我)(?:这里)?(?:没有|沒有)(?:任何|相关)?(?:的)?{_CJK_THING}{_CJK_END}",
            rf"(?:请|請|麻烦|如果)[您你]?(?:能|可以)?(?:重新|再次)?(?:提供|上传|上傳|发送|發送|发给|附上|描述)[^。！？\n]{{0,8}}{_CJK_THING}",
            rf"(?:作为|作為|身为){_CJK_A}(?:{_CJK_MODEL}|文本)[^。！？\n]{{0,30}}?我",
            rf"我(?:只)?是{_CJK_A}{_CJK_MODEL}",
            # Japanese
            r"(?:画像|写真|(?<![地意構合系])図)(?:自体|そのもの|ファイル)?(?:を|が|は)(?:直接|実際に)?、?"
            r"(?:(?:見る|確認する|閲覧する|表示する|認識する|分析する|解析する)ことが?(?:でき|出来)(?:ません|ない|ず)"
            r"|見(?:え|られ)(?:ません|ない)|(?:確認|表示|閲覧|認識|解析)(?:でき|出来|され)(?:ません|ない|ていません)"
            r"|(?:提供|添付|共有|アップロード)(?:されて|して)(?:い(?:ません|ない)|おりません))",
            r"(?:画像|写真)(?:を|の)?(?:提供|添付|共有|アップロード|送信|送)[^。！？\n]{0,4}?(?:ください|いただ|頂)",
            r"(?:\A|[。！？\n]|が、|私は、?)\s*(?:AI|人工知能|言語モデル)(?:アシスタント|モデル|言語モデル)?"
            r"(?:として、|なので|ですので|であるため)",
            r"私は(?:AI|人工知能|大規模言語モデル|言語モデル)",
            # Korean
            r"(?:이미지|사진|그림)(?:를|을|는|은|도)? ?(?:직접 |실제로 )?"
            r"(?:볼|확인할|분석할|접근할|인식할) 수(?:가)? 없",
            r"(?:이미지|사진|그림)(?:가|이|를|을)?[^.!?\n]{0,6}?(?:제공|첨부|업로드)(?:되지|하지)? ?(?:않|해 ?주)",
            r"(?:\A|[.!?,\n]\s*|저는 )"
            r"(?:AI|인공지능|언어 모델)(?: 언어 모델| 모델| 어시스턴트)?(?:로서|이기 때문|이므로)",
        )
    ),
    re.IGNORECASE,
)
# So far before the continuation may begin what it ends: "As an" + " AI model".
_BEFORE = 100


def comments_on_itself(continuation: str, prefix: str = "") -> bool:
    """Whether a text speaks of a missing image or of being a model; what stands wholly in `prefix` does not count."""
    before = prefix[-_BEFORE:]
    return any(match.end() > len(before) for match in _COMMENTARY.finditer(before + continuation))
