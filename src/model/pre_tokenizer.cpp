#include "model/pre_tokenizer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "io/printable.h"
#include "model/config_fields.h"

namespace plasticity {
namespace {

// The expressions are those of the families' tokenizer.json, as llama.cpp's src/llama-vocab.cpp quotes them.
constexpr std::string_view kQwen2Expression =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3Expression =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLineEnds = R"([\r\n])";
constexpr std::string_view kDeepseekCjk = "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+";
// Every cased letter by ranges, written as code points because several look like others (ohm, kelvin).
constexpr std::string_view kDeepseekLetters =
    R"(\s?[)"
    "A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF\u0370-"
    "\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5\u03F7-"
    "\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF"
    "\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-"
    "\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC"
    "\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115"
    "\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149\u214E"
    "\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B\uA722-"
    "\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A\uFF41-\uFF5A"
    "\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2\U00010CC0-"
    "\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943"
    "]+";
constexpr std::string_view kDeepseekSigns = R"(\s?[!-/:-~)"
                                            "\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+";
constexpr std::string_view kDeepseek3Words =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kByteLevelWithExpression = "ByteLevel(own expression)";
constexpr std::string_view kByteLevel = "ByteLevel";
constexpr std::string_view kDigits = "Digits(one by one)";

/// What describe_split() writes round an expression.
std::string split_step(std::string_view expression) {
    return fmt::format("Split({})", expression);
}
bool is_split(std::string_view step) {
    return step != kByteLevelWithExpression && step != kByteLevel && step != kDigits;
}

// Steps: an expression to split by, or one of the names above.
constexpr std::array kQwen2Steps{kQwen2Expression, kByteLevel};
constexpr std::array kSmollmSteps{kDigits, kByteLevelWithExpression};
constexpr std::array kLlama3Steps{kLlama3Expression, kByteLevel};
constexpr std::array kGpt2Steps{kByteLevelWithExpression};
constexpr std::array kDeepseekLlmSteps{kLineEnds,    kDeepseekLetters, kDeepseekSigns, std::string_view(R"(\s+$)"),
                                       kDeepseekCjk, kDigits,          kByteLevel};
constexpr std::array kDeepseekCoderSteps{
    kLineEnds, std::string_view(R"(\s?\p{L}+)"), std::string_view(R"(\s?\p{P}+)"), kDeepseekCjk, kDigits, kByteLevel};
constexpr std::array kDeepseek3Steps{std::string_view(R"(\p{N}{1,3})"),
                                     std::string_view("[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+"), kDeepseek3Words,
                                     kByteLevel};

struct KnownForm {
    std::string_view pre;
    std::span<const std::string_view> steps;
    bool composes = false;  ///< the family's own files ask for NFC
    bool ignore_merges = false;
    bool adds_bos = false;
};

constexpr std::array kKnownForms{
    KnownForm{"qwen2", kQwen2Steps, true},
    KnownForm{"smollm", kSmollmSteps},
    KnownForm{"llama-bpe", kLlama3Steps, false, true, true},
    KnownForm{"gpt-2", kGpt2Steps},
    KnownForm{"deepseek-llm", kDeepseekLlmSteps},
    KnownForm{"deepseek-coder", kDeepseekCoderSteps},
    KnownForm{"deepseek-v3", kDeepseek3Steps},
};

/// Names that llama.cpp gives the same splitting as another one, so that a file with them can be exported.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kOtherNames{{
    {"llama3", "llama-bpe"},
    {"llama-v3", "llama-bpe"},
    {"deepseek-r1-qwen", "qwen2"},
    {"starcoder", "smollm"},
    {"refact", "smollm"},
    {"command-r", "smollm"},
}};

/// Line ends as the letters that stand for them: files write them in both ways.
std::string with_visible_line_ends(std::string_view expression) {
    std::string text;
    for (const char letter : expression)
        if (letter == '\r')
            text += "\\r";
        else if (letter == '\n')
            text += "\\n";
        else
            text += letter;
    return text;
}

std::string describe_split(const nlohmann::json& step) {
    const nlohmann::json* pattern = field(step, "pattern");
    if (const auto literal = pattern ? text_field(*pattern, "String") : std::nullopt)
        return fmt::format("Split(at {})", printable(*literal));
    const std::string expression = with_visible_line_ends(pattern ? text_field(*pattern, "Regex").value_or("") : "");
    const std::string behavior = text_field(step, "behavior").value_or("");
    const bool inverted = boolean_field(step, "invert").value_or(false);
    // Keeping the matches as pieces, or removing what is between them: the same where everything matches.
    const bool keeps_matches = (behavior == "Isolated" && !inverted) || (behavior == "Removed" && inverted);
    return keeps_matches ? split_step(expression)
                         : fmt::format("Split({}, {}, invert {})", expression, behavior, inverted);
}

/// One line for each step, equal for steps that do the same. Absent fields stand for tokenizers' defaults.
void describe_steps(const nlohmann::json& step, std::vector<std::string>& steps) {
    const std::string type = text_field(step, "type").value_or("without a type");
    const nlohmann::json* inner = field(step, "pretokenizers");
    if (type == "Sequence" && inner && inner->is_array()) {
        for (const nlohmann::json& each : *inner) {
            if (each.is_object() && text_field(each, "type").value_or("") == "Sequence")
                steps.emplace_back("Sequence in a Sequence");
            else
                describe_steps(each, steps);
        }
    } else if (type == "Split") {
        steps.push_back(describe_split(step));
    } else if (type == "Digits" && boolean_field(step, "individual_digits").value_or(false)) {
        steps.emplace_back(kDigits);
    } else if (type == "ByteLevel" && !boolean_field(step, "add_prefix_space").value_or(true)) {
        steps.emplace_back(boolean_field(step, "use_regex").value_or(true) ? kByteLevelWithExpression : kByteLevel);
    } else {
        steps.push_back(type == "ByteLevel" ? "ByteLevel(with a space in front)" : type);
    }
}

bool is_form(const KnownForm& form, const std::vector<std::string>& steps, bool ignore_merges) {
    return form.ignore_merges == ignore_merges &&
           std::ranges::equal(steps, form.steps, [](const std::string& got, std::string_view known) {
               return got == (is_split(known) ? split_step(known) : known);
           });
}

std::string describe(const std::vector<std::string>& steps) {
    constexpr std::size_t kMaxBytes = 300;
    return steps.empty() ? "none" : printable(fmt::format("{}", fmt::join(steps, ", then ")), kMaxBytes);
}

// llama.cpp normalises nothing. NFC leaves nearly all text as it is, and its converter lets it pass too.
void require_plain_normalizer(const nlohmann::json& tokenizer) {
    const nlohmann::json* normalizer = field(tokenizer, "normalizer");
    if (!normalizer) return;
    const std::string type = text_field(*normalizer, "type").value_or("without a type");
    const nlohmann::json* inner = field(*normalizer, "normalizers");
    if (type == "NFC" || (type == "Sequence" && inner && inner->is_array() && inner->empty())) return;
    throw Error(ErrorKind::kMalformed, fmt::format("normalizer: got {}; expected none or NFC", printable(type)));
}

nlohmann::ordered_json json_of_step(std::string_view step) {
    if (step == kDigits) return {{"type", "Digits"}, {"individual_digits", true}};
    if (is_split(step))
        return {{"type", "Split"},
                {"pattern", {{"Regex", std::string(step)}}},
                {"behavior", "Isolated"},
                {"invert", false}};
    return {{"type", "ByteLevel"},
            {"add_prefix_space", false},
            {"trim_offsets", true},
            {"use_regex", step == kByteLevelWithExpression}};
}

}  // namespace

std::string recognise_pre_tokenizer(const nlohmann::json& tokenizer) {
    require_plain_normalizer(tokenizer);
    const nlohmann::json* pre_tokenizer = field(tokenizer, "pre_tokenizer");
    std::vector<std::string> steps;
    if (pre_tokenizer) describe_steps(*pre_tokenizer, steps);

    const nlohmann::json* model = field(tokenizer, "model");
    const bool ignore_merges = model && boolean_field(*model, "ignore_merges").value_or(false);
    std::vector<std::string_view> known;
    for (const KnownForm& form : kKnownForms) {
        if (is_form(form, steps, ignore_merges)) return std::string(form.pre);
        known.push_back(form.pre);
    }
    throw Error(ErrorKind::kMalformed,
                fmt::format("pre_tokenizer: got {}, merges {}; expected that of {}", describe(steps),
                            ignore_merges ? "ignored for whole tokens" : "always used", fmt::join(known, ", ")));
}

PreTokenizerForm form_of_pre_tokenizer(std::string_view pre) {
    std::string_view best = pre;
    for (const auto& [other, name] : kOtherNames)
        if (other == pre) best = name;
    std::vector<std::string_view> known;
    for (const KnownForm& form : kKnownForms) {
        known.push_back(form.pre);
        if (form.pre != best) continue;
        nlohmann::ordered_json steps = nlohmann::ordered_json::array();
        for (const std::string_view step : form.steps) steps.push_back(json_of_step(step));
        const nlohmann::ordered_json whole{{"type", "Sequence"}, {"pretokenizers", steps}};
        return {.pre = std::string(form.pre),
                .normalizer = form.composes ? R"({"type": "NFC"})" : "null",
                .pre_tokenizer = steps.size() == 1 ? steps.front().dump() : whole.dump(),
                .ignore_merges = form.ignore_merges,
                .adds_bos = form.adds_bos};
    }
    throw Error(ErrorKind::kUsage, fmt::format("tokenizer.ggml.pre: got {}; expected one that tokenizer.json can "
                                               "express here: {}",
                                               printable(pre), fmt::join(known, ", ")));
}

}  // namespace plasticity
