#include "api/outputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "core/error.h"
#include "model/model.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

/// Where an input lies; what is not there is for its reader to report.
fs::path located(const fs::path& input) {
    std::error_code ignored;
    if (fs::exists(input, ignored)) return input;
    try {
        return locate_model(input);
    } catch (const Error&) {
        return input;
    }
}

/// The same device and inode, or one of those within a folder.
bool is_or_holds(const fs::path& input, const fs::path& output) {
    std::error_code failure;
    if (fs::equivalent(input, output, failure)) return true;
    if (!fs::is_directory(input, failure)) return false;
    for (fs::recursive_directory_iterator entry(input, failure), end; !failure && entry != end;
         entry.increment(failure)) {
        std::error_code ignored;
        if (fs::equivalent(entry->path(), output, ignored)) return true;
    }
    return false;
}

bool are_one(const fs::path& a, const fs::path& b) {
    std::error_code ignored;
    return fs::weakly_canonical(a, ignored) == fs::weakly_canonical(b, ignored) || fs::equivalent(a, b, ignored);
}

}  // namespace

void require_outputs(const CommandFiles& files, Overwrite overwrite) {
    std::vector<fs::path> outputs = files.outputs;
    std::erase(outputs, fs::path());
    for (auto output = outputs.begin(); output != outputs.end(); ++output) {
        require_writable(*output, overwrite);
        if (std::any_of(outputs.begin(), output, [&](const fs::path& other) { return are_one(other, *output); }))
            throw Error(ErrorKind::kUsage,
                        fmt::format("{}: is named for two outputs; expected a file for each", output->string()));
        std::error_code ignored;
        if (!fs::exists(*output, ignored)) continue;  // what is not there yet is no input
        for (const fs::path& input : files.inputs)
            if (!input.empty() && is_or_holds(located(input), *output))
                throw Error(ErrorKind::kUsage, fmt::format("{}: is read as an input ({}); name another output",
                                                           output->string(), input.string()));
    }
}

void make_output_folder(const fs::path& folder) {
    std::error_code failure;
    fs::create_directories(folder, failure);
    if (failure)
        throw Error(ErrorKind::kIo, fmt::format("{}: cannot make this folder: {}", folder.string(), failure.message()));
}

}  // namespace plasticity
