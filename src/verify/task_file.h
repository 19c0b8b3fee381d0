#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace plasticity {

/// How an output is judged.
enum class Checker {
    kExact,   ///< equal to the text, white space at both ends aside
    kRegex,   ///< the expression (RE2) is found anywhere in it
    kPython,  ///< the program ends with exit code 0; it finds `prompt` and `output`
};

/// One line of a tasks file.
struct Task {
    std::string name;  ///< "tasks.jsonl:3" where the line gives none
    std::string prompt;
    bool is_chat = false;  ///< the prompt is put into the model's own template, as a user's message
    Checker checker = Checker::kExact;
    std::string expected;  ///< the text, expression or program
    std::vector<std::string> stop;
    std::int32_t max_tokens = 128;
};

/// @throws Error (kMissing, kMalformed naming every bad line, kUsage where there are none)
std::vector<Task> load_tasks(const std::filesystem::path& path);

/// As load_tasks, of text. @param where  names it in messages
std::vector<Task> parse_tasks(std::string_view text, const std::string& where);

}  // namespace plasticity
