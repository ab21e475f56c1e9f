"""Which continuations are left out."""

import pytest

from pipelines.commentary import comments_on_itself
from pipelines.engines.base import FinishReason, Sample
from pipelines.filters import Keep, reason_against, sameness


@pytest.mark.parametrize(
    "text",
    [
        "I cannot see the image, so I guess.",
        "As an AI language model, I have no eyes.",
        "Sorry, no image was provided.",
        "The picture has not been uploaded yet.",
        "Could you please share the photo?",
        "I can't view images.",
        "I'm just an AI and was given no photo.",
        "I don't see any image here.",
        "There is no picture attached, so I cannot say.",
        "I am unable to view or analyze images.",
        "Without the figure, it's impossible to estimate the angle.",
        "The question does not provide a diagram.",
        "Sorry, I can't help with images of people yet.",
        "There is no image.",
        "There is no image, so I cannot tell.",
        "I don't see the image you mention, no picture was given to me.",
        "The image is not visible here.",
        "It is hard to say without seeing the image.",
        "Without any specific chart or data provided, it's impossible to answer this question.",
        "抱歉，我无法看到图片。",
        "请提供图片。",
        "很抱歉，我看不到您说的图片。",
        "图片没有显示，无法回答。",
        "由于没有图片，我只能猜测。",
        "作为一个AI语言模型，我没有眼睛。",
        "我是一个人工智能助手。",
        "如果您能上传图片，我可以帮您分析。",
        "抱歉，我無法查看圖片。",
        "申し訳ありませんが、画像が見えません。",
        "画像を見ることができませんので、推測です。",
        "画像が添付されていません。",
        "写真を送ってください。",
        "AIアシスタントとして、お答えします。",
        "私はAIなので、目がありません。",
        "죄송하지만 이미지를 볼 수 없습니다.",
        "이미지가 제공되지 않았습니다.",
    ],
)
def test_self_commentary(text: str) -> None:
    assert comments_on_itself(text)


@pytest.mark.parametrize(
    "text",
    [
        "The image shows a cat that can not reach the table.",
        "a3 blue-square 0, b1 red-circle 1.",
        "The man cannot lift the box. The picture is dark.",
        "No dogs are visible.",
        "图中有三只猫。",
        "图片中看不到任何动物。",
        "这张照片没有使用闪光灯。",
        "从图片可以看出，他无法打开门。",
        "画像には猫が二匹います。",
        "写真の人物は笑っています。",
        "画像の中に犬は見当たりません。",
        "이미지에는 고양이가 두 마리 있습니다.",
        "We cannot conclude that the children are drawing pictures of themselves.",
        "It cannot be determined from the image whether it is raining.",
        "There are no green trucks in the image.",
        "The graph shows a function that is not periodic.",
        "I think the picture was taken at night.",
        "There are no pictures on the wall.",
        "There are no pictures, only a clock.",
        "I see no photos on the desk.",
        "I don't see any pictures on the wall.",
        "There is no figure in the doorway, only a dog.",
        "There is no chart title, so the reader has to guess.",
        "There is no picture, only a clock, above the sofa.",
        "The menu does not include a picture of the soup.",
        "The robot works as an AI assistant in the hotel.",
        "As an AI assistant, the robot carries the bags.",
        "The photo has not been given a caption.",
        "The picture is not attached to the wall.",
        "No pictures are visible on the screen.",
        "I think the man cannot see the picture.",
        "I cannot tell whether the picture was taken at night.",
        "The boy is short, unable to see the picture.",
        "From here we cannot see the man behind the picture.",
        "Without the picture on the wall, it is hard to fill the room.",
        "She draws without looking at the picture.",
        "因为没有图例，无法判断颜色的含义。",
        "由于没有图书，书架是空的。",
        "我没有图书馆的卡。",
        "如果提供的图书太多，就放不下了。",
        "图中没有显示价格。",
        "图片未提供价格信息。",
        "孩子坐得太远，无法看清图片。",
        "我无法看清图中的文字。",
        "菜单没有提供菜的图片。",
        "作为一个人工智能机器人，它在酒店里工作。",
        "画像では猫の顔が見えません。",
        "この角度では地図が見えません。",
        "ロボットはAIアシスタントとして働いています。",
        "사진에서 얼굴을 볼 수 없습니다.",
    ],
)
def test_talk_about_the_picture_is_no_self_commentary(text: str) -> None:
    assert not comments_on_itself(text)


def reason(
    text: str, chosen: str, prefix: str = "", *, finish: FinishReason = "stop", keep: Keep | None = None
) -> str | None:
    sample = Sample(text=text, token_ids=(), finish_reason=finish)
    return reason_against(sample, prefix or chosen[: len(chosen) // 2], chosen, keep or Keep())


def test_commentary_may_begin_in_the_prefix_but_not_lie_in_it() -> None:
    chosen = "It is warm here, but as an old man says, it will be cold again."
    assert (
        reason(" AI language model I feel nothing.", chosen, chosen[: chosen.index(" old")])
        == "self-commentary"
    )
    chosen = "No image was attached to the letter, which is why the clerk sent it back to us."
    assert reason(" it was returned.", chosen) is None


def test_where_the_good_answer_talks_the_same_way_it_is_no_trace_of_the_missing_image() -> None:
    chosen = "As an AI I have no favourite colour, but many people like blue best."
    assert reason(" as an AI language model I like none.", chosen) is None
    assert (
        reason(" as an AI language model I like none.", chosen.replace("As an AI ", "")) == "self-commentary"
    )


CHINESE = "图中有一只红色的狗和一只白色的猫，它们坐在窗边的沙发上，看起来很放松。"
JAPANESE = "写真には赤い車が写っていて、その隣に二人の男性が立っています。天気は晴れです。"
ENGLISH = (
    "There is a red dog, and it sits on the sofa by the window with a white cat that is asleep for the day."
)
FRENCH = "Il y a un chien rouge sur le canapé, et le chat blanc est dans la cuisine avec les enfants qui sont au chaud."
GERMAN = (
    "Auf dem Sofa sitzt ein roter Hund, und die weiße Katze ist in der Küche, die auch den Kindern gehört."
)
SPANISH = (
    "En el sofá hay un perro rojo, y el gato blanco está en la cocina con los niños, que son muy felices."
)
CYRILLIC = "На диване сидит рыжая собака, а белая кошка спит на кухне рядом с детьми."
KOREAN = "소파 위에 빨간 개가 앉아 있고 하얀 고양이는 부엌에서 아이들과 함께 자고 있습니다."
OBJECTS = "The objects that are in the picture: cat: yes; dog: yes; bird: yes; and for the rest of them: yes."
ADDRESS = "ここの住所は次のとおりです。東京都新宿区西新宿二丁目八番一号です。"
TEXTS = [CHINESE, JAPANESE, ENGLISH, FRENCH, GERMAN, SPANISH, CYRILLIC, KOREAN]


@pytest.mark.parametrize("chosen", TEXTS)
@pytest.mark.parametrize("said", TEXTS)
def test_another_language(chosen: str, said: str) -> None:
    # The second half of a text of its own: what a model that stays in its language might say.
    found = reason(
        said[len(said) // 3 :], chosen + chosen[: len(chosen) // 4], chosen[:10], keep=Keep(same=True)
    )
    assert found == (None if chosen is said else "wrong language")
    assert reason(said, chosen, chosen[:10], keep=Keep(same=True, language=True)) is None


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        (" iPhone 14 Pro Max。", CHINESE),  # a name
        (" x = \\frac{1}{2}，所以答案是三分之一", "所以 " + CHINESE),
        ("```python\nprint('the answer to the question is that')\n```", CHINESE),
        (
            " def main(): return the_answer(of_the, question)",
            CHINESE + "\n\ndef main(): return 7 if the_question else of",
        ),
        ("，它使用 Python 和 JavaScript 以及 PostgreSQL 编写", CHINESE),
        ("东京都新宿区", JAPANESE),  # too short to say that the kana are missing
        (" 3", CHINESE),
        ("好的。", ENGLISH),
        (" The sign says 出口, and the dog is in front of it.", ENGLISH + " 出口"),
        (" e il gatto.", ENGLISH),
        # English words that other languages have, too, and one word again and again
        (" dog: no; bird: no; fish: no; cow: no; horse: no.", OBJECTS),
        (" two plus three plus four plus five plus six gives twenty.", OBJECTS),
        (" on no account do as the van driver is; pour it in, met his son on a par with no con.", OBJECTS),
        # Japanese without kana
        ("大阪府大阪市北区梅田三丁目一番三号", ADDRESS),
        (
            "にあります。とても高い建物の中にあるそうです。",
            "東京都新宿区西新宿二丁目八番一号東京都庁第一本庁舎",
        ),
        # What the picture says, in its own language
        ("“open daily from seven to nine”，旁边有两张桌子。", CHINESE),
        ("上面写着open daily from seven to nine，旁边有两张桌子。", CHINESE),
        (' The sign says "出口在大楼的另一边，请不要在这里吸烟" in red.', ENGLISH),
        (" The sign says 出口请勿吸烟 in red.", ENGLISH),
        (" «les chats sont dans la rue avec nous et vous» is what it says.", ENGLISH),
    ],
)
def test_names_code_and_short_texts_tell_no_language(said: str, chosen: str) -> None:
    assert reason(said, chosen) is None


def test_a_switch_half_way_is_another_language() -> None:
    assert reason(" in the room, 旁边有一只白色的猫和一个红色的球。", ENGLISH) == "wrong language"
    assert (
        reason("，and the white cat is on the sofa by the window with a ball.", CHINESE) == "wrong language"
    )


def test_a_quotation_that_began_in_the_prefix_is_still_one() -> None:
    prefix = "牌子上写着“open daily "
    assert (
        reason(
            "from seven to nine on all the days of the week”，关门。",
            prefix + "from”，旁边有两张桌子和椅子。",
            prefix,
        )
        is None
    )


@pytest.mark.parametrize(
    "text",
    [
        " and so on" * 30,
        "红色的球，" * 30,
        " The man is standing in the middle of the street." * 6,
        " 1" + "0" * 300,
    ],
)
def test_loops(text: str) -> None:
    chosen = "It shows a man who stands in a street, and nobody else can be seen. 图中有人。"
    assert reason(text, chosen) == "degenerate repetition"
    # It would run on for ever: a higher limit is no remedy.
    assert reason(text, chosen, finish="length") == "degenerate repetition"
    assert reason(text, chosen, keep=Keep(repetition=True, language=True)) is None


def test_what_repeats_by_nature_is_no_loop() -> None:
    table = "\n| a | b |\n|---|---|" + "\n| 1 | 2 |" * 30
    assert reason(table, "See the table below, which lists all the numbers that were found.") is None
    song = "La la la, " * 40
    assert reason(" na" * 100, song, keep=Keep(language=True)) is None, "the good answer does it, too"


@pytest.mark.parametrize("text", ["", " \n", ".", " 。", "...", "!?"])
def test_marks_alone_say_nothing(text: str) -> None:
    assert reason(text, "It is so because nothing else is possible here.") == "empty continuation"
    assert reason(text + " 7", "It is so because nothing else is possible here.") is None
    assert reason(" 🙂", "It is so because nothing else is possible here.") is None


def test_sameness() -> None:
    assert sameness(" a cat sits.", " a cat sits. ") == "identical"
    assert sameness(" A cat sits!", " a cat, sits.") == "near-identical"
    assert sameness(" a cat sits.", " a dog sits.") is None
    many = " ".join(f"word{'x' * (i % 7)}" for i in range(60))
    assert sameness(f"{many} cat", f"{many} dog") == "near-identical"
    assert sameness(f"{many} 3", f"{many} 4") is None  # the numbers are the point
