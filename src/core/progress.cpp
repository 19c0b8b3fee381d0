#include "core/progress.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "core/progress_styles.h"

namespace plasticity {
namespace {

class QuietProgress final : public Progress {
public:
    void begin(std::string_view, std::uint64_t, std::string_view) override {}
    void advance(std::uint64_t, std::string_view) override {}
    void end() override {}
    void note(std::string_view) override {}
};

/// no-color.org: set and not empty means no colour.
bool allows_colour() {
    const char* refused = std::getenv("NO_COLOR");
    return refused == nullptr || *refused == '\0';
}

/// A terminal that cannot go back in its line gets plain lines.
bool can_redraw() {
    const char* terminal = std::getenv("TERM");
    return terminal == nullptr || std::strcmp(terminal, "dumb") != 0;
}

}  // namespace

std::unique_ptr<Progress> make_progress(ProgressStyle style) {
    return make_progress(style, stderr, ::isatty(STDERR_FILENO) == 1 && can_redraw());
}

std::unique_ptr<Progress> make_progress(ProgressStyle style, std::FILE* stream, bool is_terminal) {
    if (style == ProgressStyle::kQuiet) return std::make_unique<QuietProgress>();
    if (style == ProgressStyle::kJson) return std::make_unique<JsonProgress>(stream);
    if (is_terminal) return std::make_unique<BarProgress>(stream, allows_colour());
    return std::make_unique<LineProgress>(stream);
}

}  // namespace plasticity
