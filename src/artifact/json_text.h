#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace plasticity {

/// JSON as this project's artifacts are printed: two spaces of indent, arrays of plain values on one line, numbers as
/// short as reads back to the same value, a final newline. Bytes that are no UTF-8 become U+FFFD.
std::string json_text(const nlohmann::ordered_json& value);
/// JSON without spaces or line ends. Bytes that are no UTF-8 become U+FFFD: a model's text may end within a character.
std::string json_line(const nlohmann::ordered_json& value);

/// Reads one object of an artifact (parsed by io/strict_json.h): every key that is asked for must be there with the
/// right type, and every key that nobody asked for is refused. All methods throw Error (kMalformed) naming the place
/// and the key.
class ObjectReader {
public:
    /// The object must outlive the reader.
    ObjectReader(const nlohmann::json& object, std::string where);

    bool has(std::string_view key) const;
    const nlohmann::json& value(std::string_view key);
    std::int64_t integer(std::string_view key, std::int64_t lowest, std::int64_t highest);
    double number(std::string_view key);  ///< finite
    double amount(std::string_view key);  ///< finite, at least 0
    bool boolean(std::string_view key);
    std::string text(std::string_view key);
    std::vector<double> numbers(std::string_view key);  ///< finite
    std::vector<std::vector<double>> number_rows(std::string_view key);
    std::vector<std::int32_t> integers(std::string_view key, std::int32_t lowest);
    /// The artifact's version is one that this program reads.
    void require_schema(std::string_view key, int newest);
    /// Call last: refuses the keys that were not asked for.
    void finish() const;

    const std::string& where() const { return where_; }
    [[noreturn]] void fail(std::string_view key, std::string_view problem) const;

private:
    const nlohmann::json& object_;
    std::string where_;
    std::set<std::string, std::less<>> asked_;
};

}  // namespace plasticity
