#include "compress/resume_key.h"

#include <fmt/format.h>
#include <ggml.h>

#include "core/hash.h"
#include "core/version.h"
#include "io/file_identity.h"

namespace plasticity {
namespace {

/// The version does not change with every build; the program's file does. Empty where the system does not tell.
std::string identity_of_this_program() {
    std::error_code failure;
    const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failure);
    if (failure || !std::filesystem::exists(program, failure)) return "";  // not Linux; replaced while it runs
    return file_identity(program);
}

}  // namespace

std::string resume_key(const CompressOptions& options, const Model& model) {
    std::string key = fmt::format("compress {} ggml {} {}\n", kVersion, ggml_version(), ggml_commit());
    key += identity_of_this_program();
    for (const SourceFile& file : model.files()) key += file_identity(file.path);
    if (options.statistics) key += sha256_of_file(*options.statistics) + "\n";
    return key;
}

}  // namespace plasticity
