#include "io/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/printable.h"
#include "io/problem_list.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

bool is_hidden(const fs::path& path) {
    return path.filename().string().starts_with('.');
}

/// Text has no NUL and is valid UTF-8; the JSON library's own validator decides.
bool is_text(const std::string& bytes) {
    if (bytes.find('\0') != std::string::npos) return false;
    try {
        (void)json(bytes).dump();
        return true;
    } catch (const json::exception&) {
        return false;
    }
}

bool is_jsonl(const fs::path& path) {
    return path.extension() == ".jsonl" || path.extension() == ".ndjson";
}

Error malformed(const std::string& where, const std::string& problem) {
    return Error(ErrorKind::kMalformed,
                 fmt::format("{}: {}; expected an object with \"text\", \"prompt\" and \"completion\", \"messages\" or "
                             "\"tokens\"",
                             where, problem));
}

/// The JSON library would turn 1.5 into 1, true into 1 and wrap what is too large.
std::vector<std::int32_t> parse_tokens(const json& array, const std::string& where) {
    if (!array.is_array()) throw malformed(where, fmt::format("tokens: got {}", array.type_name()));
    std::vector<std::int32_t> tokens;
    for (const json& element : array) {
        const bool is_id = element.is_number_unsigned() && element.get<std::uint64_t>() <= INT32_MAX;
        if (!is_id) throw malformed(where, fmt::format("tokens: {} is no token id", printable(element.dump())));
        tokens.push_back(element.get<std::int32_t>());
    }
    return tokens;
}

CorpusRecord parse_record(const json& object, const std::string& where) {
    if (!object.is_object()) throw malformed(where, fmt::format("got {}", object.type_name()));
    CorpusRecord record;
    record.where = where;
    using Form = CorpusRecord::Form;
    try {
        if (object.contains("tokens")) {
            record.form = Form::kTokens;
            record.tokens = parse_tokens(object.at("tokens"), where);
        } else if (object.contains("messages")) {
            record.form = Form::kMessages;
            for (const json& message : object.at("messages"))
                record.messages.push_back(
                    {message.at("role").get<std::string>(), message.at("content").get<std::string>()});
        } else if (object.contains("prompt") && object.contains("completion")) {
            record.form = Form::kCompletion;
            record.prompt = object.at("prompt").get<std::string>();
            record.completion = object.at("completion").get<std::string>();
        } else if (object.contains("text")) {
            record.text = object.at("text").get<std::string>();
        } else {
            throw malformed(where, "none of the known fields");
        }
    } catch (const json::exception& problem) {
        throw malformed(where, json_problem(problem.what()));
    }
    return record;
}

/// All of a file's lines are read, whatever one of them holds, so that every bad one is named at once.
void read_jsonl(const fs::path& path, const std::string& content, std::vector<CorpusRecord>& records) {
    ProblemList problems("data");
    std::size_t line_number = 0;
    for (std::size_t begin = 0; begin < content.size();) {
        const std::size_t end = std::min(content.find('\n', begin), content.size());
        const std::string_view line = std::string_view(content).substr(begin, end - begin);
        begin = end + 1;
        ++line_number;
        if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        const std::string where = fmt::format("{}:{}", path.string(), line_number);
        try {
            records.push_back(parse_record(parse_strict_json(line, where), where));
        } catch (const Error& error) {
            problems.add(error.what());
        }
    }
    problems.throw_if_any();
}

}  // namespace

std::vector<fs::path> list_data_files(std::span<const fs::path> paths) {
    std::vector<fs::path> files;
    for (const fs::path& path : paths) {
        if (!fs::exists(path)) throw Error(ErrorKind::kMissing, fmt::format("data: {} does not exist", path.string()));
        if (!fs::is_directory(path)) {
            files.push_back(path);
            continue;
        }
        std::vector<fs::path> found;
        auto walk = fs::recursive_directory_iterator(path, fs::directory_options::skip_permission_denied);
        for (auto entry = fs::begin(walk); entry != fs::end(walk); ++entry) {
            if (is_hidden(entry->path())) {
                if (entry->is_directory()) entry.disable_recursion_pending();
                continue;
            }
            if (entry->is_regular_file()) found.push_back(entry->path());
        }
        std::sort(found.begin(), found.end());
        files.insert(files.end(), found.begin(), found.end());
    }
    if (files.empty())
        throw Error(ErrorKind::kUsage, fmt::format("data: no files in {}; expected text, source code or JSONL",
                                                   paths.empty() ? "what was given" : paths.front().string()));
    return files;
}

std::vector<CorpusRecord> read_corpus(std::span<const fs::path> paths) {
    const std::set<fs::path> named(paths.begin(), paths.end());
    std::vector<CorpusRecord> records;
    for (const fs::path& path : list_data_files(paths)) {
        const std::string content = read_text_file(path);
        if (!is_text(content)) {
            if (named.contains(path))
                throw Error(
                    ErrorKind::kMalformed,
                    fmt::format("data: {} is not UTF-8 text; expected text, source code or JSONL", path.string()));
            continue;
        }
        if (is_jsonl(path)) {
            read_jsonl(path, content, records);
        } else if (!content.empty()) {
            CorpusRecord record;
            record.text = content;
            record.where = path.string();
            records.push_back(std::move(record));
        }
    }
    if (records.empty()) throw Error(ErrorKind::kUsage, "data: nothing but empty or binary files in what was given");
    return records;
}

std::string read_plain_text(std::span<const fs::path> paths) {
    std::string text;
    for (const CorpusRecord& record : read_corpus(paths)) {
        if (record.form != CorpusRecord::Form::kText)
            throw Error(ErrorKind::kUsage,
                        fmt::format("data: {} is no plain text; expected text or source files, or JSONL "
                                    "with \"text\"",
                                    record.where));
        if (!text.empty()) text += '\n';
        text += record.text;
    }
    return text;
}

}  // namespace plasticity
