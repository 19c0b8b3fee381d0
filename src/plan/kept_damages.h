#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/progress.h"
#include "plan/damage.h"

namespace plasticity {

/// Damages in a file, so that plans of the same model and statistics measure none twice: damages.json.
class KeptDamages {
public:
    /// Reads the file where it is there.
    /// @param made_from  everything that damages depend on; what was kept from anything else is forgotten
    /// @throws Error (kMalformed for a file that holds something else, which then is not written over)
    KeptDamages(std::filesystem::path file, const std::string& made_from, Progress& progress);

    /// What is asked and not known.
    std::vector<DamageQuestion> open(const std::vector<DamageQuestion>& questions) const;
    /// Adds to what is known and writes the file. @throws Error (kIo)
    void add(const DamageTable& measured);
    /// Of questions that are not open: these answers and no others.
    DamageTable answers(const std::vector<DamageQuestion>& questions) const;

private:
    void load(Progress& progress);

    std::filesystem::path file_;
    std::string made_from_;  ///< its SHA-256
    DamageTable known_;
};

}  // namespace plasticity
