#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/atomic_file.h"

namespace plasticity {

/// A file by its content. The name is for people: without its folder.
struct FileDigest {
    std::string name;
    std::uint64_t bytes = 0;
    std::string sha256;  ///< 64 lower-case hex digits

    bool same_content(const FileDigest& other) const { return bytes == other.bytes && sha256 == other.sha256; }
    bool operator==(const FileDigest&) const = default;
};

/// @throws Error (kMissing, kIo)
FileDigest digest_of(const std::filesystem::path& path);

/// What a run was made from, with what, and to which bytes: reproduce.json. Enough to make them again.
struct Reproduction {
    static constexpr int kSchemaVersion = 1;

    /// An option as the command line has it, "--target-size", with all that was given to it.
    using Option = std::pair<std::string, std::vector<std::string>>;

    std::string program_version;
    std::string llama_cpp;  ///< the version and the pinned source that it was built with
    std::string processor;  ///< its instructions, which decide how products are summed; devices
    std::string command;    ///< that made it, for people

    std::string model;                    ///< as typed
    std::string model_repository;         ///< OWNER/NAME where that is a hub name; empty: a file or folder
    std::vector<FileDigest> model_files;  ///< that weights are read from, in the order of the shards
    std::string tokenizer_sha256;         ///< as in gate_gradients.json
    std::vector<std::string> data;        ///< as typed; folders stand for what is in them
    std::vector<std::string> eval_data;   ///< likewise; empty: a part of `data` is held out
    std::vector<FileDigest> calibration;  ///< files that were scored, in their order
    std::vector<FileDigest> held_out;     ///< files that quality was measured on
    std::vector<Option> options;          ///< that were given beside these
    std::vector<FileDigest> artifacts;    ///< made on the way, in that order
    FileDigest output;
};

std::string reproduction_to_json(const Reproduction& reproduction);
/// @param where  what the text is, for messages. @throws Error (kMalformed)
Reproduction reproduction_from_json(std::string_view text, const std::string& where);

void save_reproduction(const Reproduction& reproduction, const std::filesystem::path& target, Overwrite overwrite);
/// @throws Error (kMissing, kMalformed, kIo)
Reproduction load_reproduction(const std::filesystem::path& path);

}  // namespace plasticity
