#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace plasticity {

/// One record of task data, before tokenisation. Exactly one of the forms is filled.
struct CorpusRecord {
    struct Message {
        std::string role;
        std::string content;
    };
    std::string text;                  ///< plain text, to be cut into chunks
    std::string prompt, completion;    ///< only the completion is to be learnt
    std::vector<Message> messages;     ///< a conversation; only what the assistant says is to be learnt
    std::vector<std::int32_t> tokens;  ///< ids as they are
    enum class Form { kText, kCompletion, kMessages, kTokens } form = Form::kText;
    std::string where;  ///< "file.jsonl:12", for messages
};

/// The files that `paths` stand for: files as given; folders recursively, in sorted order, without hidden entries.
/// @throws Error (kMissing naming the path; kUsage when nothing is found)
std::vector<std::filesystem::path> list_data_files(std::span<const std::filesystem::path> paths);

/// Text and source files become one record each; JSONL files one a line, holding `text`, `prompt` + `completion`,
/// `messages` ([{role, content}]) or `tokens`. Files that are not UTF-8 text are skipped when found in a folder.
/// @throws Error (kMissing, kMalformed naming file and line)
std::vector<CorpusRecord> read_corpus(std::span<const std::filesystem::path> paths);

/// All plain text of the corpus, joined by newlines; for evaluation. @throws as above; kUsage for other forms
std::string read_plain_text(std::span<const std::filesystem::path> paths);

}  // namespace plasticity
