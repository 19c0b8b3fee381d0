#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "io/problem_list.h"

namespace plasticity {

/// Fields of a config.json; what cannot be read becomes a problem, and the fallback or 0 its value.
class ConfigReader {
public:
    ConfigReader(const nlohmann::json& config, ProblemList& problems) : config_(config), problems_(problems) {}

    bool contains(std::string_view key) const;
    std::int32_t count(std::string_view key) const;  ///< absence is a problem
    std::int32_t count_or(std::string_view key, std::int32_t fallback) const;
    float real_or(std::string_view key, double fallback) const;
    bool flag_or(std::string_view key, bool fallback) const;
    std::string text_or(std::string_view key, std::string_view fallback) const;
    /// An array of numbers or texts; empty when absent.
    std::vector<std::int32_t> counts(std::string_view key) const;
    std::vector<std::string> texts(std::string_view key) const;

    const nlohmann::json& json() const { return config_; }
    ProblemList& problems() const { return problems_; }
    void refuse(std::string problem) const { problems_.add(std::move(problem)); }

private:
    const nlohmann::json& config_;
    ProblemList& problems_;
};

}  // namespace plasticity
