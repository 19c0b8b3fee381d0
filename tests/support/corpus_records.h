#pragma once

// Records as JSONL holds them.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "io/corpus.h"

namespace plasticity::test {

inline CorpusRecord text_record(std::string text) {
    CorpusRecord record;
    record.text = std::move(text);
    return record;
}

inline CorpusRecord completion_record(std::string prompt, std::string completion) {
    CorpusRecord record;
    record.form = CorpusRecord::Form::kCompletion;
    record.prompt = std::move(prompt);
    record.completion = std::move(completion);
    return record;
}

inline CorpusRecord tokens_record(std::vector<std::int32_t> tokens) {
    CorpusRecord record;
    record.form = CorpusRecord::Form::kTokens;
    record.tokens = std::move(tokens);
    return record;
}

inline CorpusRecord messages_record(std::vector<CorpusRecord::Message> messages) {
    CorpusRecord record;
    record.form = CorpusRecord::Form::kMessages;
    record.messages = std::move(messages);
    record.where = "chat.jsonl:3";
    return record;
}

}  // namespace plasticity::test
