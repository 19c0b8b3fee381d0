#pragma once

#include <string>

#include "model/architecture.h"

namespace plasticity {

/// How a model is written so that stock llama.cpp runs it.
struct StockForm {
    std::string architecture;  ///< `general.architecture`
    RopeLayout rope_layout = RopeLayout::kNorm;
    bool stock = true;   ///< the stock loader takes it
    std::string reason;  ///< in words, for the recipe
};

/// Whether stock `deci`, the form with a geometry for each block, computes what this model does.
bool deci_carries(const Architecture& architecture);

/// Some stock form lets every block have its own head counts and feed-forward width.
bool takes_geometry_per_layer(const Architecture& architecture);

/// The model's own architecture where its stock loader takes the geometry, else `deci` where its graph is the same,
/// else the own architecture again, which then runs in this program only.
/// @param base  the model; its geometry does not matter
/// @param output  the same with the geometry that is written
StockForm stock_form(const Architecture& base, const Architecture& output);

}  // namespace plasticity
