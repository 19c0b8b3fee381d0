#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace plasticity {

/// Reads the options of a stage from a JSON object, each at most once and none that the stage does not have. Keys are
/// the long options of the command line without their dashes, or the name of its positional argument. All methods throw
/// Error (kUsage) naming the stage and the key; a key that is not there leaves the value as it is, its default.
class OptionReader {
public:
    OptionReader(std::string_view json, std::string stage);

    bool has(const std::string& key);
    /// @throws also where the key is not there
    void require(const std::string& key, std::filesystem::path& value);
    void read(const std::string& key, bool& value);
    void read(const std::string& key, double& value);
    void read(const std::string& key, float& value);
    void read(const std::string& key, std::string& value);
    void read(const std::string& key, std::filesystem::path& value);
    /// One text alone is a list of one.
    void read(const std::string& key, std::vector<std::string>& value);
    void read(const std::string& key, std::vector<std::filesystem::path>& value);
    /// A number of bytes, or a text as parse_bytes takes it.
    void read_bytes(const std::string& key, std::uint64_t& value);

    template <typename Integer>
    void read(const std::string& key, Integer& value, std::int64_t lowest,
              std::int64_t highest = std::numeric_limits<Integer>::max()) {
        value = static_cast<Integer>(integer(key, static_cast<std::int64_t>(value), lowest, highest));
    }
    template <typename Value>
    void read(const std::string& key, std::optional<Value>& value) {
        if (has(key)) read(key, value.emplace());
    }

    /// Call last: refuses the keys that were not asked for.
    void finish() const;
    [[noreturn]] void fail(const std::string& key, std::string_view expected) const;

private:
    /// nullptr where the key is not there, or null
    const nlohmann::json* find(const std::string& key);
    std::int64_t integer(const std::string& key, std::int64_t current, std::int64_t lowest, std::int64_t highest);

    nlohmann::json object_;
    std::string stage_;
    std::set<std::string> asked_;
};

}  // namespace plasticity
