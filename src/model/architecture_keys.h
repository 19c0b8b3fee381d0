#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/gguf_metadata.h"
#include "io/problem_list.h"

namespace plasticity {

/// `<arch>.*` keys of one file; what cannot be read becomes a problem, and the fallback or 0 its value.
class ArchitectureKeys {
public:
    ArchitectureKeys(const GgufMetadata& metadata, std::string prefix, ProblemList& problems)
        : metadata_(metadata), prefix_(std::move(prefix)), problems_(problems) {}

    std::string key(std::string_view name) const;
    bool contains(std::string_view name) const { return metadata_.contains(key(name)); }
    std::int32_t count(std::string_view name) const;
    std::int32_t count_or(std::string_view name, std::int32_t fallback) const;
    float real(std::string_view name) const;
    float real_or(std::string_view name, double fallback) const;
    std::string text_or(std::string_view name, std::string_view fallback) const;
    /// A number for all blocks, or an array with one for each.
    std::vector<std::int32_t> per_layer(std::string_view name, std::size_t n_layer) const;

    const GgufMetadata& metadata() const { return metadata_; }
    void refuse(std::string problem) const { problems_.add(std::move(problem)); }

private:
    const GgufMetadata& metadata_;
    std::string prefix_;
    ProblemList& problems_;
};

/// Sets `<arch>.*` keys.
class ArchitectureKeyWriter {
public:
    ArchitectureKeyWriter(GgufMetadata& metadata, std::string prefix)
        : metadata_(metadata), prefix_(std::move(prefix)) {}

    void set(std::string_view name, GgufValue value) const;
    void set_count(std::string_view name, std::int32_t value) const;

private:
    GgufMetadata& metadata_;
    std::string prefix_;
};

}  // namespace plasticity
