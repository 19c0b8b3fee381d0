#include "cli/stage_chain.h"

#include <fmt/format.h>

#include "core/version.h"
#include "io/file_identity.h"

namespace plasticity {

bool StageChain::is_done(const std::string& name, const std::vector<std::string>& inputs,
                         const std::vector<std::filesystem::path>& outputs) {
    std::vector<std::string> parts{kVersion, fingerprint_};
    parts.insert(parts.end(), inputs.begin(), inputs.end());
    fingerprint_ = fingerprint(parts);
    if (!repeat_ && state_->is_done(name, fingerprint_, outputs)) {
        progress_->note(fmt::format("{}: done before, inputs unchanged", name));
        return true;
    }
    repeat_ = true;
    return false;
}

}  // namespace plasticity
