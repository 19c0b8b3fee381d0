#include "core/progress_styles.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/units.h"

namespace plasticity {
namespace {

using namespace std::chrono_literals;

constexpr auto kBarInterval = 100ms;
constexpr auto kLineInterval = 5000ms;
constexpr auto kJsonInterval = 500ms;
constexpr std::size_t kUnknownWidth = 80;

std::string count_text(double count, std::string_view unit) {
    if (unit == "bytes") return format_bytes(static_cast<std::uint64_t>(std::max(count, 0.0)));
    return count < 10 && count != static_cast<double>(static_cast<int>(count)) ? fmt::format("{:.2f}", count)
                                                                               : fmt::format("{:.0f}", count);
}

/// Cuts to `width` columns, never within a UTF-8 sequence. One code point is taken as one column.
std::string_view cut_to_width(std::string_view text, std::size_t width) {
    std::size_t columns = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool starts_character = (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80;
        if (starts_character && columns++ == width) return text.substr(0, i);
    }
    return text;
}

}  // namespace

void TaskProgress::begin(std::string_view task, std::uint64_t total, std::string_view unit) {
    if (is_open_) end();
    task_ = task;
    unit_ = unit;
    detail_.clear();
    total_ = total;
    done_ = 0;
    is_open_ = true;
    start_ = last_shown_ = Clock::now();
    show(Moment::kBegin);
}

void TaskProgress::advance(std::uint64_t done, std::string_view detail) {
    if (!is_open_) return;
    done_ += done;
    if (!detail.empty()) detail_ = detail;
    show(Moment::kAdvance);
}

void TaskProgress::end() {
    if (!is_open_) return;
    is_open_ = false;
    show(Moment::kEnd);
}

double TaskProgress::elapsed_seconds() const {
    return std::chrono::duration<double>(Clock::now() - start_).count();
}

double TaskProgress::rate() const {
    const double elapsed = elapsed_seconds();
    return elapsed > 0 ? static_cast<double>(done_) / elapsed : 0;
}

double TaskProgress::eta_seconds() const {
    if (total_ == 0 || done_ == 0) return -1;
    return done_ >= total_ ? 0 : static_cast<double>(total_ - done_) / rate();
}

bool TaskProgress::is_due(std::chrono::milliseconds interval) {
    const auto now = Clock::now();
    if (now - last_shown_ < interval) return false;
    last_shown_ = now;
    return true;
}

std::string TaskProgress::amount_text() const {
    const bool names_unit = unit_ != "bytes" && !unit_.empty();
    std::string text = count_text(static_cast<double>(done_), unit_);
    if (total_ != 0) text += fmt::format(" of {}", count_text(static_cast<double>(total_), unit_));
    if (names_unit) text += " " + unit_;
    if (done_ != 0) text += fmt::format(", {}{}/s", count_text(rate(), unit_), names_unit ? " " + unit_ : "");
    return text;
}

void TaskProgress::put(std::string_view text) const {
    // Progress that cannot be shown (a closed pipe) is no reason to fail the work.
    std::fwrite(text.data(), 1, text.size(), stream_);
    std::fflush(stream_);
}

BarProgress::BarProgress(std::FILE* stream, bool has_colour)
    : TaskProgress(stream), terminal_(stream), has_colour_(has_colour) {}

BarProgress::~BarProgress() {
    if (is_drawn_) put("\n");  // a task that an exception ended: its last state stays readable
}

std::size_t BarProgress::terminal_width() const {
    winsize size{};
    if (ioctl(fileno(terminal_), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUnknownWidth;
    return size.ws_col;
}

std::string BarProgress::line(std::size_t width) const {
    std::string tail = amount_text();
    if (const double eta = eta_seconds(); eta >= 0) tail += ", " + format_duration(eta) + " left";
    if (!detail_.empty()) tail += "  " + detail_;
    if (total_ == 0) return fmt::format("{}  {}", task_, tail);

    const double share = std::min(static_cast<double>(done_) / static_cast<double>(total_), 1.0);
    const std::string head = fmt::format("{} {:3.0f} %", task_, std::max(0.0, 100 * share - 0.499));
    const std::size_t used = head.size() + tail.size() + 5;
    if (used + 8 > width) return fmt::format("{}  {}", head, tail);  // no room for a bar worth the name
    const std::size_t cells = std::min<std::size_t>(width - used, 30);
    const auto filled = static_cast<std::size_t>(share * static_cast<double>(cells));
    return fmt::format("{} [{}{}] {}", head, std::string(filled, '#'), std::string(cells - filled, '.'), tail);
}

void BarProgress::clear_line() {
    if (is_drawn_) put("\r\033[K");
    is_drawn_ = false;
}

void BarProgress::show(Moment moment) {
    if (moment == Moment::kEnd) {
        clear_line();
        const std::string summary =
            fmt::format("{}: {} in {}", task_, amount_text(), format_duration(elapsed_seconds()));
        put(has_colour_ ? fmt::format("\033[32m✓\033[0m {}\n", summary) : summary + "\n");
        return;
    }
    if (moment == Moment::kAdvance && !is_due(kBarInterval)) return;
    const std::size_t width = terminal_width();
    put(fmt::format("\r{}\033[K", cut_to_width(line(width), width - 1)));  // the last column would wrap
    is_drawn_ = true;
}

void BarProgress::note(std::string_view message) {
    clear_line();
    put(fmt::format("{}\n", message));
}

void LineProgress::show(Moment moment) {
    if (moment == Moment::kBegin) return put(task_ + "\n");
    if (moment == Moment::kEnd)
        return put(fmt::format("{}: {} in {}\n", task_, amount_text(), format_duration(elapsed_seconds())));
    if (!is_due(kLineInterval)) return;
    const double eta = eta_seconds();
    put(fmt::format("{}: {}{}{}\n", task_, amount_text(), eta < 0 ? "" : ", " + format_duration(eta) + " left",
                    detail_.empty() ? "" : "  " + detail_));
}

void LineProgress::note(std::string_view message) {
    put(fmt::format("{}\n", message));
}

void JsonProgress::show(Moment moment) {
    if (moment == Moment::kAdvance && !is_due(kJsonInterval)) return;
    nlohmann::ordered_json line;
    line["event"] = moment == Moment::kBegin ? "begin" : moment == Moment::kEnd ? "end" : "progress";
    line["task"] = task_;
    line["done"] = done_;
    line["total"] = total_ == 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(total_);
    line["unit"] = unit_;
    line["elapsed_s"] = elapsed_seconds();
    const double eta = eta_seconds();
    line["eta_s"] = eta < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(eta);
    if (!detail_.empty()) line["detail"] = detail_;
    put(line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void JsonProgress::note(std::string_view message) {
    nlohmann::ordered_json line;
    line["event"] = "note";
    line["message"] = message;
    put(line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace plasticity
