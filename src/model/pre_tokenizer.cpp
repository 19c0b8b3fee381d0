#include "model/pre_tokenizer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <nlohmann/json.hpp>
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

struct KnownForm {
    std::string_view pre;
    std::string_view expression;  ///< of a Split before the bytes; empty: ByteLevel's own
    bool splits_digits;
    bool ignore_merges;
    bool adds_bos;
};

constexpr std::array kKnownForms{
    KnownForm{"qwen2", kQwen2Expression, false, false, false},
    KnownForm{"smollm", "", true, false, false},
    KnownForm{"llama-bpe", kLlama3Expression, false, true, true},
    KnownForm{"gpt-2", "", false, false, false},
};

constexpr std::string_view kByteLevelWithExpression = "ByteLevel(own expression)";
constexpr std::string_view kByteLevel = "ByteLevel";
constexpr std::string_view kDigits = "Digits(one by one)";

std::string split_step(std::string_view expression) {
    return fmt::format("Split({})", expression);
}

std::vector<std::string> steps_of(const KnownForm& form) {
    if (!form.expression.empty()) return {split_step(form.expression), std::string(kByteLevel)};
    if (form.splits_digits) return {std::string(kDigits), std::string(kByteLevelWithExpression)};
    return {std::string(kByteLevelWithExpression)};
}

std::string describe_split(const nlohmann::json& step) {
    const nlohmann::json* pattern = field(step, "pattern");
    const std::string expression = pattern ? text_field(*pattern, "Regex").value_or("") : "";
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

// llama.cpp normalises nothing. NFC leaves nearly all text as it is, and its converter lets it pass too.
void require_plain_normalizer(const nlohmann::json& tokenizer) {
    const nlohmann::json* normalizer = field(tokenizer, "normalizer");
    if (!normalizer) return;
    const std::string type = text_field(*normalizer, "type").value_or("without a type");
    const nlohmann::json* inner = field(*normalizer, "normalizers");
    if (type == "NFC" || (type == "Sequence" && inner && inner->is_array() && inner->empty())) return;
    throw Error(ErrorKind::kMalformed, fmt::format("normalizer: got {}; expected none or NFC", printable(type)));
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
        if (steps == steps_of(form) && ignore_merges == form.ignore_merges) return std::string(form.pre);
        known.push_back(form.pre);
    }
    std::string found = steps.empty() ? "none" : fmt::format("{}", fmt::join(steps, ", then "));
    if (found.size() > 300) found = found.substr(0, 300) + "…";
    throw Error(ErrorKind::kMalformed,
                fmt::format("pre_tokenizer: got {}, merges {}; expected that of {}", found,
                            ignore_merges ? "ignored for whole tokens" : "always used", fmt::join(known, ", ")));
}

PreTokenizerForm form_of_pre_tokenizer(std::string_view pre) {
    if (pre == "llama3" || pre == "llama-v3") pre = "llama-bpe";  // older names of the same
    for (const KnownForm& form : kKnownForms) {
        if (form.pre != pre) continue;
        nlohmann::ordered_json steps = nlohmann::ordered_json::array();
        if (form.splits_digits) steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
        if (!form.expression.empty())
            steps.push_back({{"type", "Split"},
                             {"pattern", {{"Regex", form.expression}}},
                             {"behavior", "Isolated"},
                             {"invert", false}});
        steps.push_back({{"type", "ByteLevel"},
                         {"add_prefix_space", false},
                         {"trim_offsets", true},
                         {"use_regex", form.expression.empty()}});
        nlohmann::ordered_json whole{{"type", "Sequence"}, {"pretokenizers", steps}};
        return {.pre = std::string(form.pre),
                .pre_tokenizer = steps.size() == 1 ? steps.front().dump() : whole.dump(),
                .ignore_merges = form.ignore_merges,
                .adds_bos = form.adds_bos};
    }
    throw Error(ErrorKind::kUsage, fmt::format("tokenizer.ggml.pre: got {}; this program can express qwen2, smollm, "
                                               "llama-bpe and gpt-2 as tokenizer.json",
                                               printable(pre)));
}

}  // namespace plasticity
