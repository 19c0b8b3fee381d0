#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace plasticity {

/// What each finished stage of `plasticity run` was made from, kept in the output folder (run.json), so that a second
/// run repeats only what has changed.
class RunState {
public:
    /// Reads folder/run.json where it is there and sound; anything else counts as nothing done.
    explicit RunState(std::filesystem::path folder);

    /// The stage finished with this fingerprint, and its outputs are still there.
    bool is_done(const std::string& stage, const std::string& fingerprint,
                 const std::vector<std::filesystem::path>& outputs) const;
    /// Records the stage and writes run.json. @throws Error (kIo)
    void finish(const std::string& stage, const std::string& fingerprint);

private:
    std::filesystem::path folder_;
    std::map<std::string, std::string> fingerprints_;
};

}  // namespace plasticity
