#include "compress/resume_key.h"

#include <fmt/format.h>
#include <ggml.h>

#include "artifact/peft_folder.h"
#include "core/hash.h"
#include "core/version.h"
#include "io/file_identity.h"

namespace plasticity {
std::string resume_key(const CompressOptions& options, const Model& model) {
    std::string key = fmt::format("compress {} ggml {} {}\n", kVersion, ggml_version(), ggml_commit());
    key += program_identity();
    key += source_identity(model);
    if (options.adapter)
        for (const std::string_view file : {kPeftConfig, kPeftWeights})
            key += "adapter " + sha256_of_file(*options.adapter / file) + "\n";
    if (options.statistics) key += sha256_of_file(*options.statistics) + "\n";
    if (options.gram)
        key += fmt::format("gram {} in {} bytes\n", sha256_of_file(*options.gram), options.gram_memory_bytes);
    return key;
}

}  // namespace plasticity
