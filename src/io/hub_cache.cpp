#include "io/hub_cache.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <vector>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/printable.h"
#include "io/shard_index.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxRefBytes = 256;
constexpr std::size_t kMaxEntries = 10'000;  // of one snapshot; a hostile tree must not be walked for ever
constexpr std::size_t kMaxShown = 20;

/// An environment variable that is set and not empty.
std::optional<std::string> setting(const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return std::string(value);
}

fs::path expanded(const std::string& path) {
    if (path != "~" && !path.starts_with("~/")) return path;
    return fs::path(setting("HOME").value_or("/")) / path.substr(std::min<std::size_t>(path.size(), 2));
}

std::string shown(const std::vector<std::string>& names) {
    const std::size_t n = std::min(names.size(), kMaxShown);
    std::string text =
        fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(n), ", "));
    if (n < names.size()) text += fmt::format(" and {} more", names.size() - n);
    return text;
}

bool is_commit(std::string_view text) {
    const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    return (text.size() == 40 || text.size() == 64) && std::ranges::all_of(text, is_hex);
}

/// One repository of the cache, with what messages about it need.
class CachedRepository {
public:
    CachedRepository(const HubName& name, const fs::path& cache)
        : name_(name), folder_(cache / fmt::format("models--{}--{}", name.owner, name.name)) {}

    fs::path find() const {
        std::error_code ignored;
        if (!fs::is_directory(folder_, ignored))
            throw Error(ErrorKind::kMissing,
                        fmt::format("{}: no such file or folder, and not in the Hugging Face cache (looked for {}); "
                                    "fetch it with: {}",
                                    name_.repository(), folder_.string(), name_.fetch_command()));
        const fs::path snapshot = folder_ / "snapshots" / commit();
        if (!fs::is_directory(snapshot, ignored)) incomplete(fmt::format("there is no folder {}", snapshot.string()));
        return name_.file.empty() ? only_model(snapshot) : named_file(snapshot);
    }

private:
    [[noreturn]] void incomplete(const std::string& what) const {
        std::string message = fmt::format("{}: the Hugging Face cache holds it in part: {}", name_.repository(), what);
        if (const std::size_t n = unfinished_downloads(); n > 0)
            message += fmt::format(" ({} unfinished downloads, *.incomplete, in {})", n, (folder_ / "blobs").string());
        throw Error(ErrorKind::kMissing, fmt::format("{}; fetch the rest with: {}", message, name_.fetch_command()));
    }

    std::size_t unfinished_downloads() const {
        std::error_code failure;
        std::size_t n = 0, seen = 0;
        for (fs::directory_iterator entry(folder_ / "blobs", failure), end; !failure && entry != end;
             entry.increment(failure)) {
            n += entry->path().extension() == ".incomplete" ? 1 : 0;
            if (++seen == kMaxEntries) break;
        }
        return n;
    }

    /// What a ref says becomes part of a path: anything but a commit is refused.
    std::string commit() const {
        if (is_commit(name_.revision)) return name_.revision;
        const fs::path ref = folder_ / "refs" / name_.revision;
        std::error_code ignored;
        if (!fs::exists(ref, ignored)) incomplete(fmt::format("there is no {}{}", ref.string(), other_commits()));
        std::string text = read_text_file(ref, kMaxRefBytes);
        while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
        if (!is_commit(text))
            throw Error(ErrorKind::kMalformed,
                        fmt::format("{}: holds {}; expected a commit of 40 or 64 hexadecimal digits. Remove {} and "
                                    "fetch it again: {}",
                                    ref.string(), printable(text), folder_.string(), name_.fetch_command()));
        return text;
    }

    std::string other_commits() const {
        std::error_code failure;
        std::vector<std::string> commits;
        for (fs::directory_iterator entry(folder_ / "snapshots", failure), end; !failure && entry != end;
             entry.increment(failure))
            if (is_commit(entry->path().filename().string())) commits.push_back(entry->path().filename().string());
        std::ranges::sort(commits);
        if (commits.empty()) return "";
        return fmt::format("; snapshots at hand, to be named as {}@COMMIT: {}", name_.repository(), shown(commits));
    }

    fs::path named_file(const fs::path& snapshot) const {
        const fs::path file = snapshot / name_.file;
        std::error_code ignored;
        if (!fs::exists(file, ignored))
            incomplete(fs::is_symlink(file, ignored) ? fmt::format("{} links to nothing", file.string())
                                                     : fmt::format("there is no {}", file.string()));
        return file;
    }

    fs::path only_model(const fs::path& snapshot) const {
        std::error_code ignored;
        const bool has_safetensors = fs::exists(fs::symlink_status(snapshot / "model.safetensors", ignored)) ||
                                     fs::exists(fs::symlink_status(snapshot / "model.safetensors.index.json", ignored));
        const std::vector<std::string> ggufs = has_safetensors ? std::vector<std::string>{} : gguf_files(snapshot);
        if (ggufs.size() > 1)
            throw Error(ErrorKind::kUsage,
                        fmt::format("{}: {} GGUF files: {}; name one, as in {}:{}", name_.repository(), ggufs.size(),
                                    shown(ggufs), name_.repository(), ggufs.front()));
        if (ggufs.size() == 1) {
            if (!fs::exists(snapshot / ggufs.front(), ignored))
                incomplete(fmt::format("{} links to nothing", (snapshot / ggufs.front()).string()));
            return snapshot / ggufs.front();
        }
        require_whole_folder(snapshot, has_safetensors);
        return snapshot;
    }

    /// Relative to the snapshot, sorted.
    std::vector<std::string> gguf_files(const fs::path& snapshot) const {
        std::error_code failure;
        std::vector<std::string> names;
        std::size_t seen = 0;
        for (fs::recursive_directory_iterator entry(snapshot, failure), end; !failure && entry != end;
             entry.increment(failure)) {
            if (entry->path().extension() == ".gguf")
                names.push_back(entry->path().lexically_relative(snapshot).string());
            if (++seen == kMaxEntries) break;
        }
        if (failure)
            throw Error(ErrorKind::kIo, fmt::format("{}: cannot be listed: {}", snapshot.string(), failure.message()));
        std::ranges::sort(names);
        return names;
    }

    void require_whole_folder(const fs::path& snapshot, bool has_safetensors) const {
        std::error_code ignored;
        std::vector<std::string> absent;
        const auto require = [&](const fs::path& file) {
            if (!fs::exists(file, ignored)) absent.push_back(file.filename().string());
        };
        require(snapshot / "config.json");
        if (has_safetensors)
            for (const fs::path& shard : list_shards(snapshot)) require(shard);
        else
            absent.emplace_back("model.safetensors (or model.safetensors.index.json, or a GGUF file)");
        for (const char* text : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"})
            if (fs::is_symlink(snapshot / text, ignored)) require(snapshot / text);
        if (!absent.empty()) incomplete(fmt::format("{} lacks {}", snapshot.string(), shown(absent)));
    }

    const HubName& name_;
    fs::path folder_;
};

}  // namespace

fs::path hub_cache_folder() {
    if (const auto cache = setting("HF_HUB_CACHE")) return expanded(*cache);
    if (const auto home = setting("HF_HOME")) return expanded(*home) / "hub";
    if (const auto cache = setting("XDG_CACHE_HOME")) return expanded(*cache) / "huggingface" / "hub";
    return expanded("~/.cache") / "huggingface" / "hub";
}

fs::path find_in_hub_cache(const HubName& name, const fs::path& cache) {
    return CachedRepository(name, cache).find();
}

std::string model_name_of_folder(const fs::path& folder) {
    std::error_code ignored;
    const fs::path whole = fs::weakly_canonical(folder, ignored);
    const std::string repository = whole.parent_path().parent_path().filename().string();
    if (whole.parent_path().filename() != "snapshots" || !repository.starts_with("models--"))
        return whole.filename().string();
    return repository.substr(repository.rfind("--") + 2);
}

}  // namespace plasticity
