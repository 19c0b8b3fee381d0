#include "model/sentencepiece_form.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "io/printable.h"
#include "model/config_fields.h"

namespace plasticity {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// tokenizers writes U+2581 where SentencePiece does.
const ordered_json& replace_json() {
    static const ordered_json step{{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};
    return step;
}
const ordered_json& prepend_json() {
    static const ordered_json step{{"type", "Prepend"}, {"prepend", "\u2581"}};
    return step;
}
const ordered_json& split_json() {
    static const ordered_json step{
        {"type", "Split"}, {"pattern", {{"String", " "}}}, {"behavior", "MergedWithPrevious"}, {"invert", false}};
    return step;
}

/// Whether an entry of tokenizer.json is exactly this, in whatever order its fields stand.
bool is_exactly(const json* got, const ordered_json& known) {
    return got && *got == json(known);
}

/// The step inside a Sequence of one, which does what the step does.
const json* unwrapped(const json* entry, std::string_view list) {
    const json* inner = entry ? field(*entry, list) : nullptr;
    const bool holds_one = inner && inner->is_array() && inner->size() == 1;
    return holds_one ? &inner->front() : entry;
}

bool is_empty_sequence(const json* entry, std::string_view list) {
    const json* inner = entry ? field(*entry, list) : nullptr;
    return !entry || (inner && inner->is_array() && inner->empty());
}

/// @returns whether a text begins with a space, or nothing when this is no Metaspace that leaves texts whole
std::optional<bool> metaspace_prefix(const json* pre_tokenizer) {
    if (!pre_tokenizer || text_field(*pre_tokenizer, "type").value_or("") != "Metaspace") return std::nullopt;
    const bool marks_spaces = text_field(*pre_tokenizer, "replacement").value_or("") == "\u2581";
    const bool splits = boolean_field(*pre_tokenizer, "split").value_or(true);
    const std::string scheme = text_field(*pre_tokenizer, "prepend_scheme").value_or("always");
    if (!marks_spaces || splits || (scheme != "always" && scheme != "first" && scheme != "never")) return std::nullopt;
    return scheme != "never";
}

std::string shown(const json* entry) {
    return entry ? printable(entry->dump(-1, ' ', true, json::error_handler_t::replace), 200) : "none";
}

}  // namespace

bool is_sentencepiece(const json& tokenizer) {
    const json* model = field(tokenizer, "model");
    return model && boolean_field(*model, "byte_fallback").value_or(false);
}

SentencePieceForm recognise_sentencepiece(const json& tokenizer) {
    const json* normalizer = unwrapped(field(tokenizer, "normalizer"), "normalizers");
    const json* pre_tokenizer = unwrapped(field(tokenizer, "pre_tokenizer"), "pretokenizers");
    const ordered_json prefixed{{"type", "Sequence"}, {"normalizers", {prepend_json(), replace_json()}}};
    const bool splits_nothing =
        is_empty_sequence(pre_tokenizer, "pretokenizers") || is_exactly(pre_tokenizer, split_json());

    if (is_exactly(normalizer, replace_json()) && splits_nothing) return {.add_space_prefix = false};
    if (is_exactly(normalizer, prefixed) && splits_nothing) return {.add_space_prefix = true};
    if (is_empty_sequence(normalizer, "normalizers"))
        if (const std::optional<bool> prefix = metaspace_prefix(pre_tokenizer)) return {.add_space_prefix = *prefix};
    throw Error(
        ErrorKind::kMalformed,
        fmt::format("normalizer {} with pre_tokenizer {}: expected, beside byte_fallback, that of gemma (Replace "
                    "of spaces), llama 2 (Prepend and Replace) or mistral (Metaspace without split)",
                    shown(normalizer), shown(pre_tokenizer)));
}

SentencePieceJson json_of_sentencepiece(const SentencePieceForm& form) {
    ordered_json decoders{
        {{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
        {{"type", "ByteFallback"}},
        {{"type", "Fuse"}},
    };
    if (form.add_space_prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    const ordered_json prefixed{{"type", "Sequence"}, {"normalizers", {prepend_json(), replace_json()}}};
    return {
        .normalizer = form.add_space_prefix ? prefixed.dump() : replace_json().dump(),
        .pre_tokenizer = form.add_space_prefix ? "null" : split_json().dump(),
        .decoder = ordered_json{{"type", "Sequence"}, {"decoders", decoders}}.dump(),
    };
}

}  // namespace plasticity
