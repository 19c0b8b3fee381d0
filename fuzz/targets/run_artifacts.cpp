#include <string_view>

#include "artifact/frontier.h"
#include "artifact/report.h"
#include "artifact/reproduction.h"
#include "artifact/text_samples.h"
#include "fuzz_target.h"

namespace plasticity::fuzz {
namespace {

/// What is read is written, and read again to the same text.
template <typename Read, typename Write>
void read_and_write(std::string_view text, const Read& read, const Write& write) {
    std::string written;
    if (!accepts({ErrorKind::kMalformed}, [&] { written = write(read(text, "artifact")); })) return;
    require(write(read(written, "again")) == written, "an artifact is written as it was read");
}

}  // namespace

/// The files of a run that its page is made from, beside recipe and scores.
void run_run_artifacts(std::span<const std::byte> input) {
    const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
    read_and_write(text, report_from_json, report_to_json);
    read_and_write(text, frontier_from_json, frontier_to_json);
    read_and_write(text, text_samples_from_json, text_samples_to_json);
    read_and_write(text, reproduction_from_json, reproduction_to_json);
}

}  // namespace plasticity::fuzz
