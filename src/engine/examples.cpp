#include "engine/examples.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/hash.h"

namespace plasticity {
namespace {

void append(Example& example, const std::vector<std::int32_t>& tokens, bool are_targets) {
    example.tokens.insert(example.tokens.end(), tokens.begin(), tokens.end());
    example.targets.insert(example.targets.end(), tokens.size(), are_targets ? 1 : 0);
}

Example from_completion(const CorpusRecord& record, const Tokenizer& tokenizer) {
    Example example;
    append(example, tokenizer.encode(record.prompt, true, true), false);
    append(example, tokenizer.encode(record.completion, false, true), true);
    return example;
}

void require_appends(const std::string& longer, const std::string& before, const CorpusRecord& record) {
    if (longer.starts_with(before)) return;
    throw Error(ErrorKind::kMalformed,
                fmt::format("{}: the chat template rewrites earlier turns, so the assistant's words cannot be told "
                            "apart; expected one that only appends. Use \"prompt\" and \"completion\"",
                            record.where));
}

/// Each answer of the assistant is what the template adds to the conversation before it.
Example from_messages(const CorpusRecord& record, const Tokenizer& tokenizer) {
    std::vector<ChatMessage> said;
    std::string before;
    Example example;
    for (const auto& message : record.messages) {
        if (message.role == "assistant" && !said.empty()) {
            const std::string opened = tokenizer.apply_chat_template(said, true);
            require_appends(opened, before, record);
            append(example, tokenizer.encode(opened.substr(before.size()), before.empty(), true), false);
            said.push_back({message.role, message.content});
            const std::string closed = tokenizer.apply_chat_template(said, false);
            require_appends(closed, opened, record);
            append(example, tokenizer.encode(closed.substr(opened.size()), false, true), true);
            before = closed;
        } else {
            said.push_back({message.role, message.content});
        }
    }
    return example;
}

Example from_tokens(const CorpusRecord& record) {
    Example example;
    append(example, record.tokens, true);
    return example;
}

std::vector<Example> from_plain_text(const std::string& text, const Tokenizer& tokenizer, std::int32_t chunk) {
    const std::vector<std::int32_t> tokens = tokenizer.encode(text, true, false);
    const auto size = static_cast<std::size_t>(chunk);
    std::vector<Example> examples;
    for (std::size_t begin = 0; begin < tokens.size(); begin += size) {
        const std::size_t n = std::min(size, tokens.size() - begin);
        if (n < size && (begin > 0 || n < 2)) break;
        Example example;
        append(example,
               {tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                tokens.begin() + static_cast<std::ptrdiff_t>(begin + n)},
               true);
        if (tokenizer.adds_bos()) example.tokens.front() = tokenizer.bos();
        examples.push_back(std::move(example));
    }
    return examples;
}

Example from_record(const CorpusRecord& record, const Tokenizer& tokenizer) {
    using Form = CorpusRecord::Form;
    if (record.form == Form::kCompletion) return from_completion(record, tokenizer);
    if (record.form == Form::kMessages) return from_messages(record, tokenizer);
    return from_tokens(record);
}

}  // namespace

std::string ExampleSet::sha256() const {
    Sha256 hash;
    for (const Example& example : examples) {
        hash.update(fmt::format("{}\n", example.tokens.size()));
        hash.update(std::as_bytes(std::span(example.tokens)));
        hash.update(std::as_bytes(std::span(example.targets)));
    }
    return hash.finish();
}

ExampleSet ExampleSet::first(std::int64_t tokens) const {
    ExampleSet some{.examples = {}, .n_tokens = 0, .n_shortened = n_shortened};
    for (const Example& example : examples) {
        if (tokens > 0 && some.n_tokens >= tokens) break;
        some.n_tokens += std::ssize(example.tokens);
        some.examples.push_back(example);
    }
    return some;
}

std::int64_t ExampleSet::longest() const {
    std::int64_t longest = 0;
    for (const Example& example : examples) longest = std::max<std::int64_t>(longest, std::ssize(example.tokens));
    return longest;
}

ExampleSet make_examples(const std::vector<CorpusRecord>& records, const Tokenizer& tokenizer, std::int32_t chunk) {
    if (chunk < 2 || static_cast<std::size_t>(chunk) > kMaxRecordTokens)
        throw Error(ErrorKind::kUsage, fmt::format("data: --chunk {}; expected 2 to {}", chunk, kMaxRecordTokens));
    ExampleSet set;
    std::string text;
    for (const CorpusRecord& record : records) {
        if (record.form == CorpusRecord::Form::kText) {
            if (!text.empty()) text += '\n';
            text += record.text;
            continue;
        }
        Example example = from_record(record, tokenizer);
        if (example.tokens.size() > kMaxRecordTokens) {
            example.tokens.resize(kMaxRecordTokens);
            example.targets.resize(kMaxRecordTokens);
            ++set.n_shortened;
        }
        if (example.n_targets() > 0) set.examples.push_back(std::move(example));
    }
    for (Example& example : from_plain_text(text, tokenizer, chunk)) set.examples.push_back(std::move(example));
    for (const Example& example : set.examples) set.n_tokens += std::ssize(example.tokens);
    if (set.examples.empty())
        throw Error(ErrorKind::kUsage,
                    "data: it holds nothing to predict; expected at least two tokens of text, or "
                    "records with a completion");
    return set;
}

}  // namespace plasticity
