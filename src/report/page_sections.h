#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/run_record.h"

namespace plasticity {

// The parts of a run's page. Each is a whole <section>, or empty where the run has nothing to show in it.

std::string summary_section(const RunRecord& record);
std::string quality_section(const RunRecord& record);  ///< predicted against measured, histogram, figures
std::string heads_section(const RunRecord& record);    ///< scores, pruned heads crossed
std::string types_section(const RunRecord& record);    ///< a type for every matrix: layers × q, k, v, o, gate, up, down
std::string bytes_section(const RunRecord& record);    ///< by part
std::string frontier_section(const RunRecord& record);  ///< divergence against size, where plans were compared
std::string samples_section(const RunRecord& record);   ///< base and output side by side
std::string checks_section(const RunRecord& record);
std::string reasons_section(const RunRecord& record);  ///< of every decision, with a filter
std::string origin_section(const RunRecord& record);   ///< hashes, versions, options, the command

/// <section id="…"> with a heading. `title` is markup.
std::string page_section(std::string_view id, std::string_view title, std::string_view body);
/// A picture or table wider than a narrow screen scrolls in a box of its own, by keys too. @param label  of the box
std::string scrolling(std::string_view label, std::string_view body);

/// One row of a list of facts; both are text.
struct PageFact {
    std::string name;
    std::string value;
};
std::string fact_list(const std::vector<PageFact>& facts);

}  // namespace plasticity
