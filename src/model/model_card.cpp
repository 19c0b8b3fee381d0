#include "model/model_card.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "io/input_file.h"
#include "io/yaml_reader.h"

namespace plasticity {
namespace {

/// The front matter of cards with long tables of results takes some hundred kilobytes.
constexpr std::size_t kMaxCardBytes = 1 << 20;
constexpr std::size_t kMaxTextBytes = 256;
constexpr std::size_t kMaxLanguages = 128;

std::string beginning_of(const std::filesystem::path& path) {
    const InputFile file(path);
    std::string text(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), kMaxCardBytes)), '\0');
    file.read(0, std::as_writable_bytes(std::span(text)));
    std::erase(text, '\r');
    return text;
}

/// What stands between a first line of three dashes and the next.
std::optional<std::string_view> front_matter(std::string_view text) {
    constexpr std::string_view kBegin = "---\n", kEnd = "\n---";
    if (!text.starts_with(kBegin)) return std::nullopt;
    const std::size_t end = text.find(kEnd, kBegin.size() - 1);
    if (end == std::string_view::npos) return std::nullopt;
    return text.substr(kBegin.size(), std::max(end, kBegin.size()) - kBegin.size());
}

/// A short line of text; nothing for anything else.
std::optional<std::string> line_in(const YamlNode& node) {
    if (!node.scalar.is_string()) return std::nullopt;
    auto text = node.scalar.get<std::string>();
    if (text.empty() || text.size() > kMaxTextBytes || text.find('\n') != std::string::npos) return std::nullopt;
    return text;
}

std::vector<std::string> languages_in(const YamlNode& node) {
    const std::span<const YamlNode> items =
        node.kind == YamlNode::Kind::kList ? std::span(node.items) : std::span(&node, 1);
    std::vector<std::string> languages;
    for (const YamlNode& item : items.first(std::min(items.size(), kMaxLanguages)))
        if (auto language = line_in(item)) languages.push_back(std::move(*language));
    return languages;
}

void take_over(const YamlNode& card, GgufMetadata& general) {
    constexpr std::pair<const char*, const char*> kLines[] = {{"license", "general.license"},
                                                              {"license_name", "general.license.name"},
                                                              {"license_link", "general.license.link"}};
    for (const auto& [key, name] : kLines)
        if (const YamlNode* node = card.find(key))
            if (auto text = line_in(*node)) general.set(name, std::move(*text));
    if (const YamlNode* node = card.find("language"))
        if (auto languages = languages_in(*node); !languages.empty())
            general.set("general.languages", GgufArray(std::move(languages)));
}

}  // namespace

void read_model_card(const std::filesystem::path& folder, GgufMetadata& general) {
    try {
        const std::string text = beginning_of(folder / "README.md");
        if (const auto matter = front_matter(text))
            take_over(read_yaml(*matter, "README.md", {.bytes = kMaxCardBytes}), general);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::kMissing && error.kind() != ErrorKind::kMalformed) throw;
    }
}

}  // namespace plasticity
