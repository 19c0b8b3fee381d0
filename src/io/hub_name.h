#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace plasticity {

/// A model as the Hugging Face hub names it: OWNER/NAME[@REVISION][:FILE].
///
///     Qwen/Qwen2.5-Coder-32B-Instruct
///     Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF@main:qwen2.5-coder-0.5b-instruct-q8_0.gguf
struct HubName {
    std::string owner;
    std::string name;
    std::string revision = "main";  ///< branch, tag or commit
    std::string file;               ///< path inside the repository; empty: the repository's only model

    std::string repository() const { return owner + "/" + name; }
    /// The command of huggingface_hub that puts it into the local cache.
    std::string fetch_command() const;
};

/// Nothing where the text cannot be such a name: "../x", absolute paths, more than one slash, NUL, blanks, parts that
/// are longer than the hub allows. Rules of names: huggingface_hub, validate_repo_id.
std::optional<HubName> parse_hub_name(std::string_view text);

/// A relative path whose parts are all plain names: no "..", no ".", none empty, no NUL, none longer than file systems
/// take. Revisions and files of a repository are such paths.
bool is_plain_relative_path(std::string_view path);

}  // namespace plasticity
