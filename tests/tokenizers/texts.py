"""Texts to compare tokenizers on: code, prose, and what a seeded generator makes. The same ones in every run.

    for kind, text in texts(special_tokens): ...

Code is the Python standard library's. Everything else is made here, so that the texts do not depend on what else a
machine has: sentences of many languages and scripts, shuffled word by word, and runs of CJK, emoji, right-to-left and
combining characters, digits, punctuation, white space, control characters and characters from all over Unicode.
"""

import pathlib
import random
import sysconfig
import unicodedata

# One plain sentence each; the generator shuffles words within and between them.
SENTENCES = """\
All human beings are born free and equal in dignity and rights; they've reason, don't they? "Yes," she'd say — it's so.
Der schnelle Fuchs springt über die faulen Hunde, während Größe und Maß der Straße überprüft werden müssen.
L'été dernier, à Noël même, nous avons mangé des crêpes où qu'elles fussent; ça coûtait 12,50 € l'unité.
El niño pidió añadir más azúcar, ¿verdad? ¡Claro que sí! Mañana viajaremos a la montaña.
Os corações não são iguais; amanhã haverá reuniões às três horas.
Gli amici più cari perché sì, così è la città dell'università.
Zażółć gęślą jaźń, a źdźbło trawy nie śpi pod płotem.
Příliš žluťoučký kůň úpěl ďábelské ódy na Šumavě.
Árvíztűrő tükörfúrógép és hosszú őszi esőzések.
Türkiye'de İstanbul'un ışıkları çok güzeldir, değil mi?
Tiếng Việt có nhiều dấu thanh: người, đường, nghiêng, trưởng.
Широкая электрификация южных губерний даст мощный толчок подъёму сельского хозяйства.
Ще не вмерла України і слава, і воля, браття українські.
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία· το άλφα και το ωμέγα.
צריך לבדוק את הטקסט מימין לשמאל, כמו שצריך.
يولد جميع الناس أحرارا متساوين في الكرامة والحقوق.
همه انسان‌ها آزاد به دنیا می‌آیند و از دید حیثیت برابرند.
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है।
সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।
மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.
మానవులందరు స్వతంత్రంగా జన్మించారు.
มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน
ຄົນທຸກຄົນເກີດມາມີສິດເສລີພາບ
အားလုံးသောလူတို့သည် တူညီလွတ်လပ်သော
មនុស្សទាំងអស់កើតមកមានសេរីភាព
ყველა ადამიანი იბადება თავისუფალი და თანასწორი.
Բոլոր մարդիկ ծնվում են ազատ ու հավասար։
ሁሉም ሰዎች ነጻ ሆነው ተወልደዋል።
人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。
人皆生而自由；在尊嚴及權利上均各平等。「真的嗎？」
すべての人間は、生まれながらにして自由であり、カタカナとひらがな。
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.
Mathematics: ∀x∈ℝ, ∃ε>0 ⇒ |f(x)−L| ≤ ½·δ²; Σᵢ aᵢ → ∞, 10⁻³ µm, №5, 30 °C.
""".splitlines()

EMOJI = ["😀", "🤷🏽‍♀️", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "🇯🇵", "❤️", "☺", "🧑🏿‍🚀", "🫠", "🪿", "1️⃣", "©", "™️", "🀄", "♟️", "🫨"]
CONTRACTIONS = ["'s", "'S", "'t", "'T", "'re", "'RE", "'Ve", "'m", "'LL", "'d", "’s", "'ſ", "'lL", "''s", "'st"]
BLANKS = [" ", "  ", "    ", "\t", "\n", "\r\n", "\r", "\n\n", " \n", "\u00a0", "\u3000", "\u2003", "\u0085", "\v", "\f"]
INVISIBLE = ["\u200b", "\u200c", "\u200d", "\u200e", "\u2028", "\u2060", "\ufeff", "\ufe0f", "\u00ad", "\ufffd"]
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»–—…‘’“”、。〈〉《》！？（），．：；￥¬±×÷"
CJK = [(0x4E00, 0x9FA5), (0x3040, 0x30FF), (0xAC00, 0xD7A3), (0x3400, 0x4DB5), (0x20000, 0x2A6D6), (0xFF01, 0xFF5E),
       (0x3105, 0x312F)]
RIGHT_TO_LEFT = [(0x5D0, 0x5EA), (0x621, 0x64A), (0x64B, 0x652), (0x6F0, 0x6F9), (0x710, 0x72F)]
COMBINING = [(0x300, 0x36F), (0x93E, 0x94D), (0xE31, 0xE3A), (0x1AB0, 0x1ABD), (0x20D0, 0x20DC)]
DIGITS = [(0x30, 0x39), (0x660, 0x669), (0x966, 0x96F), (0xFF10, 0xFF19), (0xB2, 0xB3), (0x2160, 0x2188),
          (0x1D7CE, 0x1D7FF), (0xBC, 0xBE), (0x3021, 0x3029)]


def character(rng, ranges):
    return chr(rng.randint(*rng.choice(ranges)))


def any_character(rng):
    """A scalar value from anywhere, assigned or not, but mostly from the first two planes."""
    while True:
        code = rng.choice([rng.randrange(0x3000), rng.randrange(0x10000), rng.randrange(0x20000), rng.randrange(0x110000)])
        if not 0xD800 <= code <= 0xDFFF:
            return chr(code)


def words(rng):
    return [rng.choice(rng.choice(SENTENCES).split()) for _ in range(rng.randint(1, 12))]


def join(rng, parts):
    return "".join(part + rng.choice(["", "", " ", " ", "  ", "\n"]) for part in parts)


def prose(rng):
    return rng.choice(SENTENCES) if rng.random() < 0.1 else " ".join(words(rng)) + rng.choice(".,;:!?…。 ")


def cjk(rng):
    return join(rng, ["".join(character(rng, CJK[:3] if rng.random() < 0.7 else CJK) for _ in range(rng.randint(1, 9)))
                      for _ in range(rng.randint(1, 6))])


def emoji(rng):
    return join(rng, [rng.choice(EMOJI) if rng.random() < 0.6 else rng.choice(words(rng)) for _ in range(rng.randint(1, 9))])


def right_to_left(rng):
    return " ".join("".join(character(rng, RIGHT_TO_LEFT) for _ in range(rng.randint(1, 7))) for _ in range(rng.randint(1, 8)))


def combining(rng):
    bases = "aeiounyçñwksกมคनम"
    return join(rng, ["".join(rng.choice(bases) + "".join(character(rng, COMBINING) for _ in range(rng.randint(0, 2)))
                              for _ in range(rng.randint(1, 6))) for _ in range(rng.randint(1, 5))])


def decomposed(rng):
    return unicodedata.normalize("NFD", prose(rng))


def digits(rng):
    return join(rng, ["".join(character(rng, DIGITS[:1] if rng.random() < 0.7 else DIGITS) for _ in range(rng.randint(1, 12)))
                      + rng.choice(["", ".", ",", "e-5", "x", "%", "年"]) for _ in range(rng.randint(1, 6))])


def punctuation(rng):
    return join(rng, ["".join(rng.choice(PUNCTUATION) for _ in range(rng.randint(1, 6))) + rng.choice(["", "a", "Zz", "7"])
                      for _ in range(rng.randint(1, 8))])


def contractions(rng):
    return " ".join(rng.choice(words(rng)) + rng.choice(CONTRACTIONS) + rng.choice(["", "", "x", " y"])
                    for _ in range(rng.randint(1, 6)))


def blanks(rng):
    return "".join(rng.choice(BLANKS) * rng.choice([1, 1, 2, 3, 7, 40]) + rng.choice(["", "a", "the", "7", "!", "中"])
                   for _ in range(rng.randint(1, 9)))


def control(rng):
    return "".join(chr(rng.choice([*range(0x20), *range(0x7F, 0xA1)])) if rng.random() < 0.5 else
                   rng.choice([rng.choice(INVISIBLE), rng.choice(words(rng)), " "]) for _ in range(rng.randint(1, 14)))


def anything(rng):
    return "".join(any_character(rng) for _ in range(rng.randint(1, 24)))


def with_specials(rng, tokens):
    parts = [rng.choice(tokens) if rng.random() < 0.5 else rng.choice([" ", "\n", "", *words(rng), "<|", "|>", "<", "</s>x"])
             for _ in range(rng.randint(1, 8))]
    return "".join(parts)


def code():
    """Lines of the standard library as they are, and blocks of up to six of them."""
    rng = random.Random(1)
    lines = []
    for name in ("argparse", "ast", "asyncio/base_events", "decimal", "_pydecimal", "email/message", "html/entities",
                 "inspect", "json/decoder", "logging/__init__", "subprocess", "tarfile", "textwrap", "turtle", "typing"):
        path = pathlib.Path(sysconfig.get_path("stdlib"), name + ".py")
        if path.exists():
            lines += path.read_text(encoding="utf-8").splitlines()
    single = [line for line in rng.sample(lines, 2400) if line]
    blocks = []
    for _ in range(400):
        start = rng.randrange(len(lines) - 6)
        blocks.append("\n".join(lines[start:start + rng.randint(2, 6)]))
    return single + blocks


GENERATORS = {"prose": (prose, 2000), "cjk": (cjk, 1000), "emoji": (emoji, 700), "right-to-left": (right_to_left, 400),
              "combining": (combining, 400), "decomposed": (decomposed, 400), "digits": (digits, 600),
              "punctuation": (punctuation, 700), "contractions": (contractions, 400), "blanks": (blanks, 600),
              "control": (control, 600), "anything": (anything, 600)}


def texts(special_tokens):
    """(kind, text) pairs, more than 10,000 of them."""
    yield from (("code", text) for text in code())
    for kind, (generate, count) in GENERATORS.items():
        rng = random.Random(kind)
        yield from ((kind, generate(rng)) for _ in range(count))
    rng = random.Random("special")
    yield from (("special", with_specials(rng, special_tokens)) for _ in range(900))
