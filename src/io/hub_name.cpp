#include "io/hub_name.h"

#include <fmt/format.h>

#include <algorithm>

namespace plasticity {
namespace {

constexpr std::size_t kMaxNameBytes = 96;  // huggingface_hub allows no more of the whole name
constexpr std::size_t kMaxPartBytes = 255;
constexpr std::size_t kMaxPathBytes = 1024;

bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// Owner or name: [A-Za-z0-9_.-], beginning and ending with neither '.' nor '-', without ".." and "--".
bool is_name_part(std::string_view part) {
    const auto is_allowed = [](char c) { return is_letter_or_digit(c) || c == '_' || c == '.' || c == '-'; };
    const auto is_end = [](char c) { return is_letter_or_digit(c) || c == '_'; };
    return !part.empty() && std::ranges::all_of(part, is_allowed) && is_end(part.front()) && is_end(part.back()) &&
           part.find("..") == std::string_view::npos && part.find("--") == std::string_view::npos;
}

/// Cuts `text` at the first `mark`; what follows it is returned, nothing where there is none.
std::optional<std::string_view> cut_off(std::string_view& text, char mark) {
    const std::size_t at = text.find(mark);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view rest = text.substr(at + 1);
    text = text.substr(0, at);
    return rest;
}

}  // namespace

bool is_plain_relative_path(std::string_view path) {
    if (path.empty() || path.size() > kMaxPathBytes || path.find('\0') != std::string_view::npos) return false;
    while (true) {
        const std::size_t slash = path.find('/');
        const std::string_view part = path.substr(0, slash);
        if (part.empty() || part == "." || part == ".." || part.size() > kMaxPartBytes) return false;
        if (slash == std::string_view::npos) return true;
        path = path.substr(slash + 1);
    }
}

std::optional<HubName> parse_hub_name(std::string_view text) {
    const auto file = cut_off(text, ':');  // no revision of git holds a colon
    const auto revision = cut_off(text, '@');
    const auto name = cut_off(text, '/');
    if (!name || text.size() + name->size() + 1 > kMaxNameBytes || !is_name_part(text) || !is_name_part(*name))
        return std::nullopt;
    if ((revision && !is_plain_relative_path(*revision)) || (file && !is_plain_relative_path(*file)))
        return std::nullopt;
    HubName parsed{.owner = std::string(text), .name = std::string(*name), .file = std::string(file.value_or(""))};
    if (revision) parsed.revision = *revision;
    return parsed;
}

std::string HubName::fetch_command() const {
    std::string command = fmt::format("hf download {}", repository());
    if (!file.empty()) command += fmt::format(" {}", file);
    if (revision != "main") command += fmt::format(" --revision {}", revision);
    return command;
}

}  // namespace plasticity
