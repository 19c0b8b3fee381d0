#include "report/markup.h"

#include <nlohmann/json.hpp>

#include "artifact/json_text.h"

namespace plasticity {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Bytes that are no UTF-8 as U+FFFD: a model's text may end within a character.
std::string valid_utf8(std::string_view text) {
    return nlohmann::json::parse(json_line(std::string(text))).get<std::string>();
}

bool is_control(char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

}  // namespace

std::string markup_escaped(std::string_view text) {
    std::string result;
    for (const char c : valid_utf8(text)) {
        if (c == '<')
            result += "&lt;";
        else if (c == '>')
            result += "&gt;";
        else if (c == '&')
            result += "&amp;";
        else if (c == '"')
            result += "&quot;";
        else if (c == '\'')
            result += "&#39;";
        else if (is_control(c) && c != '\n' && c != '\t')
            result += kReplacement;
        else
            result += c;
    }
    return result;
}

std::string single_line(std::string_view text) {
    std::string result = valid_utf8(text);
    for (char& c : result)
        if (is_control(c)) c = ' ';
    return result;
}

std::string markdown_escaped(std::string_view text) {
    std::string result;
    for (const char c : single_line(text)) {
        if (std::string_view("\\`*_{}[]()<>#+-!|~$&").find(c) != std::string_view::npos) result += '\\';
        result += c;
    }
    return result;
}

}  // namespace plasticity
