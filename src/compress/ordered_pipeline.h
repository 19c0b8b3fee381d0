#pragma once

#include <cstddef>
#include <functional>

namespace plasticity {

/// One unit on its way through a pipeline.
struct PipelineItem {
    std::size_t index = 0;   ///< which unit, [0, count)
    std::size_t slot = 0;    ///< where its result goes, [0, slots); free again once it has been consumed
    std::size_t worker = 0;  ///< who makes it, [0, workers): for scratch memory that is reused
};

struct PipelineShape {
    std::size_t count = 0;    ///< units
    std::size_t workers = 1;  ///< threads that produce, ≥ 1
    std::size_t slots = 2;    ///< results that may exist at once, ≥ 1: bounds memory
};

/// Makes units on many threads and hands them over in order: produce() runs on the workers, several at a time, up to
/// `slots` ahead of consume(), which runs on the calling thread, once per unit, by ascending index.
///
/// When a unit fails, all units before it are consumed, and its exception is thrown here: which error is reported does
/// not depend on timing. An exception of consume() stops the workers after the unit in hand.
void run_ordered_pipeline(const PipelineShape& shape, const std::function<void(const PipelineItem&)>& produce,
                          const std::function<void(const PipelineItem&)>& consume);

}  // namespace plasticity
