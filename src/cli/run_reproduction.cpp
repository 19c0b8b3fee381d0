#include "cli/run_reproduction.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "artifact/device.h"
#include "artifact/json_text.h"
#include "artifact/output_layout.h"
#include "core/error.h"
#include "core/units.h"
#include "io/gguf_reader.h"
#include "model/model.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

/// No byte of the output depends on the rest of what every command takes, and paths are recorded by themselves.
bool is_recorded(const CLI::Option& option) {
    constexpr std::array kPaths{"output", "data", "eval-data", "reproduce", "help"};
    if (option.get_lnames().empty()) return false;
    const std::string& name = option.get_lnames().front();
    return std::ranges::find(kPaths, name) == kPaths.end() && (option.get_group() != "Common" || name == "seed");
}

/// `auto` means another device elsewhere.
std::string settled(const std::string& name, const std::string& value) {
    if (name != "device" || value != "auto") return value;
    const Device device = parse_device(value);
    return json_line({{"memoryGb", static_cast<double>(device.memory_bytes) / kGb},
                      {"reservedGb", static_cast<double>(device.reserved_bytes) / kGb},
                      {"label", device.label}});
}

std::string shell_word(const std::string& text) {
    constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%";
    if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
    std::string word = "'";
    for (const char c : text)
        if (c == '\'')
            word += "'\\''";
        else
            word += c;
    word += '\'';
    return word;
}

void require_same_files(const std::vector<FileDigest>& wanted, const std::vector<fs::path>& files,
                        std::string_view role, Progress& progress) {
    if (wanted.size() != files.size())
        throw Error(ErrorKind::kMalformed,
                    fmt::format("run: {} files to {}; the run to reproduce had {}; pass what it was made from",
                                files.size(), role, wanted.size()));
    for (std::size_t i = 0; i < files.size(); ++i) {
        const FileDigest found = digest_of(files[i]);
        progress.note(fmt::format("SHA-256 {}  {}", found.sha256, found.name));
        if (!found.same_content(wanted[i]))
            throw Error(
                ErrorKind::kMalformed,
                fmt::format("run: {}, file {} to {}, is not what the run to reproduce had: SHA-256 {}; expected {} "
                            "({}); pass what it was made from",
                            files[i].string(), i + 1, role, found.sha256, wanted[i].sha256, wanted[i].name));
    }
}

/// "program version 0.2.0 (was 0.1.0)" where the two differ.
void add_change(std::string& text, std::string_view what, const std::string& was, const std::string& is) {
    if (was != is) text += fmt::format("; {} {} (was {})", what, is, was);
}

}  // namespace

std::vector<Reproduction::Option> given_options(const CLI::App& run) {
    std::vector<Reproduction::Option> given;
    for (const CLI::Option* option : run.get_options()) {
        if (!is_recorded(*option) || option->count() == 0) continue;
        const std::string& name = option->get_lnames().front();
        std::vector<std::string> values;
        for (const std::string& value : option->results()) values.push_back(settled(name, value));
        given.emplace_back(fmt::format("--{}", name), std::move(values));
    }
    return given;
}

void replay_options(const Reproduction& reproduction, CLI::App& run, const std::string& where) {
    std::vector<std::string> arguments;
    for (const auto& [name, values] : reproduction.options) {
        const CLI::Option* option = name.starts_with("--") ? run.get_option_no_throw(name) : nullptr;
        if (option == nullptr || !is_recorded(*option))
            throw Error(ErrorKind::kMalformed,
                        fmt::format("{}: option {} is none that plasticity run records", where, name));
        for (const std::string& value : values) arguments.push_back(fmt::format("{}={}", name, value));
    }
    std::ranges::reverse(arguments);  // as CLI11 takes them
    try {
        run.parse(std::move(arguments));
    } catch (const CLI::ParseError& problem) {
        throw Error(ErrorKind::kMalformed, fmt::format("{}: options: {}", where, problem.what()));
    }
}

std::string typed_command(const Reproduction& reproduction) {
    std::string command = "plasticity run " + shell_word(reproduction.model);
    const auto add_paths = [&](std::string_view option, const std::vector<std::string>& paths) {
        if (!paths.empty()) command += fmt::format(" {}", option);
        for (const std::string& path : paths) command += fmt::format(" {}", shell_word(path));
    };
    add_paths("--data", reproduction.data);
    add_paths("--eval-data", reproduction.eval_data);
    for (const auto& [name, values] : reproduction.options)
        for (const std::string& value : values)
            command += fmt::format(" {}", value == "true" ? name : shell_word(fmt::format("{}={}", name, value)));
    return command + " -o out";
}

void require_same_inputs(const Reproduction& wanted, const RunInputs& inputs, Progress& progress) {
    std::vector<fs::path> model_files;
    const auto model = open_model(inputs.model);
    for (const SourceFile& file : model->files()) model_files.push_back(file.path);
    require_same_files(wanted.model_files, model_files, "compress", progress);
    require_same_files(wanted.calibration, inputs.calibration, "calibrate on", progress);
    require_same_files(wanted.held_out, inputs.held_out, "measure on", progress);
}

std::vector<FileDigest> source_digests(const fs::path& model_path, const fs::path& output) {
    const GgufReader file(output);
    const auto* hashes = file.metadata().array<std::string>(kSourceHashesKey);
    std::vector<FileDigest> digests;
    if (hashes == nullptr) return digests;
    const auto model = open_model(model_path);
    for (const SourceFile& source : model->files()) {
        if (digests.size() == hashes->size()) break;
        digests.push_back({source.path.filename().string(), source.bytes, (*hashes)[digests.size()]});
    }
    return digests;
}

std::optional<std::string> difference(const Reproduction& wanted, const Reproduction& made) {
    if (made.output.same_content(wanted.output)) return std::nullopt;
    std::string text = fmt::format("SHA-256 {}; expected {}", made.output.sha256, wanted.output.sha256);
    const auto is_other = [&](const FileDigest& artifact) {
        return std::ranges::any_of(made.artifacts, [&](const FileDigest& other) {
            return other.name == artifact.name && !other.same_content(artifact);
        });
    };
    const auto first = std::ranges::find_if(wanted.artifacts, is_other);
    if (first != wanted.artifacts.end())
        text += fmt::format("; the first file on the way that differs is {}", first->name);
    add_change(text, "plasticity", wanted.program_version, made.program_version);
    add_change(text, "llama.cpp", wanted.llama_cpp, made.llama_cpp);
    add_change(text, "processor", wanted.processor, made.processor);
    return text;
}

}  // namespace plasticity
