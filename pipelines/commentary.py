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
_GIVEN = r"(?:provided|attached|uploaded|given|shared|included|available|visible|loaded|displayed|supplied|present)"
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
_CJK_SEE = (
    r"(?:看到|看见|看見|看清|查看|访问|訪問|識別"
    r"|识别|辨认|打开|打開|显示|顯示|读取|讀取|获取|獲取|分析|处理|處理|加载|浏览|瀏覽)"
)
_CJK_THING = r"(?:图|圖|照片|相片|截屏)"

_COMMENTARY = re.compile(
    "|".join(
        (
            rf"\bI\b[^.!?\n]{{0,25}}?{_UNABLE}[^.!?\n]{{0,60}}?\b{_THING}\b",
            rf"(?:\bwe (?:are )?|\A|[.!?,;:\n])\s*(?:(?:sorry|unfortunately|however)\W+)?"
            rf"{_UNABLE} {_LOOK}\b[^.!?\n]{{0,40}}?\b{_THING}\b",
            rf"\b(?:I|we) (?:do not|don['’]t|did not|didn['’]t) (?:actually )?(?:see|have) (?:any|an|the|your|a) "
            rf"(?:[a-z]+ )?{_THING}\b",
            rf"\b(?:there (?:is|was|are)|there['’]s|I see|since|as) no {_THING}\b",
            rf"\bno {_THING}\b[^.!?\n]{{0,30}}?\b{_GIVEN}\b",
            rf"\b{_THING}\b[^.!?\n]{{0,20}}?"
            rf"\b(?:is|was|are|were|has|have)(?: not|n['’]t)\b[^.!?\n]{{0,20}}?\b{_GIVEN}\b",
            r"\b(?:please|could you|can you|if you (?:can|could))\b[^.!?\n]{0,20}?"
            rf"\b(?:provide|upload|attach|share|send|describe)\b[^.!?\n]{{0,30}}?\b{_THING}\b",
            rf"\bwithout (?:seeing|access to|being able to see|viewing|looking at)\b[^.!?\n]{{0,20}}?\b{_THING}\b",
            rf"\bwithout (?:the|an?|any) (?:[a-z]+ )?{_THING}\b[^.!?\n]{{0,70}}?"
            rf"\b(?:impossible|difficult|hard|unable|not possible|cannot|can['’]t)\b",
            rf"\b(?:does|do|did)(?: not|n['’]t) (?:provide|include|come with) (?:an?|any|the) {_THING}\b",
            r"\bas an? (?:AI|artificial intelligence|(?:large )?language model|text-based)\b",
            r"\bI(?:['’]m| am) (?:just |only )?an? "
            r"(?:AI\b|artificial intelligence|(?:large )?language model|text-based|virtual assistant)",
            # Chinese
            rf"(?:无法|無法|不能|不可以|没有办法|沒有辦法|没办法|无从|無從)[^。！？，,\n]{{0,8}}{_CJK_SEE}[^。！？\n]{{0,8}}{_CJK_THING}",
            rf"{_CJK_THING}[^。！？，,\n]{{0,4}}(?:无法|無法|不能|未能|没有|沒有|未)(?:被)?(?:{_CJK_SEE}|提供|上传|上傳|附上|给出)",
            rf"看不(?:到|见|見|清|了)[^。！？，,\n]{{0,8}}{_CJK_THING}",
            rf"(?:没有|沒有|未|并未|並未|没)(?:提供|上传|上傳|看到|看见|看見|收到|附上?|发送|给出)[^。！？\n]{{0,8}}{_CJK_THING}",
            rf"(?:因为|由于|由於|因為|我)(?:这里)?(?:没有|沒有)(?:任何|相关)?(?:的)?{_CJK_THING}",
            rf"(?:请|請|麻烦|如果)[您你]?(?:能|可以)?(?:重新|再次)?(?:提供|上传|上傳|发送|發送|发给|附上|描述)[^。！？\n]{{0,8}}{_CJK_THING}",
            r"(?:作为|作為|身为)(?:一个|一個|一名|一款)?(?:人工智能|人工智慧|AI|语言模型|語言模型|大模型|大语言模型|文本)",
            r"我(?:只)?是(?:一个|一個|一名|一款)?(?:人工智能|人工智慧|AI|语言模型|語言模型|大模型|大语言模型)",
            # Japanese
            r"(?:画像|写真|図)[^。！？\n]{0,6}?(?:を|が|は)?[^。！？\n]{0,6}?"
            r"(?:(?:見る|確認する|閲覧する|表示する|認識する|分析する|解析する|直接見る)ことが?(?:でき|出来)(?:ません|ない|ず)"
            r"|見(?:え|られ)(?:ません|ない)|(?:確認|表示|閲覧|認識|解析)(?:でき|出来|され)(?:ません|ない|ていません)"
            r"|(?:提供|添付|共有|アップロード)(?:されて|して)(?:い(?:ません|ない)|おりません))",
            r"(?:画像|写真)(?:を|の)?(?:提供|添付|共有|アップロード|送信|送)[^。！？\n]{0,4}?(?:ください|いただ|頂)",
            r"(?:AI|人工知能|言語モデル)(?:アシスタント|モデル|言語モデル)?(?:として|なので|ですので|であるため)",
            r"私は(?:AI|人工知能|大規模言語モデル|言語モデル)",
            # Korean
            r"(?:이미지|사진|그림)(?:를|을|가|는|은)?[^.!?\n]{0,10}?(?:볼|확인할|분석할|접근할|인식할) 수 (?:없|가 없)",
            r"(?:이미지|사진|그림)(?:가|이|를|을)?[^.!?\n]{0,6}?(?:제공|첨부|업로드)(?:되지|하지)? ?(?:않|해 ?주)",
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
