// plasticity._native: what the Python package calls. Stages take and give JSON texts (src/api/stages.h), which the
// Python side turns into arguments and results; scores and statistics are objects whose numbers NumPy looks at in
// place.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <exception>
#include <string>

#include "api/stages.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "plasticity/gate_gradients.h"
#include "plasticity/statistics.h"

namespace nb = nanobind;

namespace plasticity {
namespace {

using Numbers = nb::ndarray<nb::numpy, const double, nb::ndim<1>, nb::c_contig>;

/// Looks into `values`, which lie in `owner`.
Numbers view(const std::vector<double>& values, nb::handle owner) {
    return Numbers(values.data(), {values.size()}, owner);
}

nb::list views(const std::vector<std::vector<double>>& rows, nb::handle owner) {
    nb::list list;
    for (const std::vector<double>& row : rows) list.append(view(row, owner));
    return list;
}

/// Takes the values.
nb::list arrays(std::vector<std::vector<double>> rows) {
    nb::list list;
    for (std::vector<double>& row : rows) {
        auto* kept = new std::vector<double>(std::move(row));
        const nb::capsule owner(kept, [](void* values) noexcept { delete static_cast<std::vector<double>*>(values); });
        list.append(view(*kept, owner));
    }
    return list;
}

/// Ctrl-C, or what another signal's handler raised.
void raise_pending_signals() {
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

bool says_go_on(const nb::object& answer) {
    return !answer.is(nb::bool_(false));
}

using Stage = StageOutcome (*)(std::string_view options, const StageListener& listener);

/// Runs a stage without Python's lock, but for the callbacks. What they raise ends the stage and arrives at the caller.
std::string run_stage(Stage stage, std::string_view options, const nb::object& on_progress, const nb::object& on_text) {
    const StageListener listener{
        [&](const ProgressEvent& event) {
            const nb::gil_scoped_acquire held;
            raise_pending_signals();
            return on_progress.is_none() ||
                   says_go_on(on_progress(event.task, event.done, event.total, event.unit, event.detail, event.note));
        },
        [&](std::string_view piece) {
            const nb::gil_scoped_acquire held;
            raise_pending_signals();
            // A piece may end within a character.
            return on_text.is_none() || says_go_on(on_text(nb::bytes(piece.data(), piece.size())));
        }};
    const nb::gil_scoped_release released;
    return stage(options, listener).json;
}

/// Error's kinds are classes of plasticity._errors.
void translate(const std::exception_ptr& problem, void*) {
    const auto raise = [](const char* name, const char* message) {
        const nb::object type = nb::module_::import_("plasticity._errors").attr(name);
        PyErr_SetString(type.ptr(), message);
    };
    static constexpr std::array<const char*, 7> kNames{
        "Error", "InternalError", "UsageError", "MissingError", "MalformedError", "InfeasibleError", "IoError"};
    try {
        std::rethrow_exception(problem);
    } catch (const Error& error) {
        raise(kNames.at(static_cast<std::size_t>(error.kind())), error.what());
    } catch (const Interrupted&) {
        raise("Cancelled", "the progress callback returned False");
    }
}

void bind_stage(nb::module_& module, const char* name, Stage stage) {
    module.def(
        name,
        [stage](std::string_view options, const nb::object& on_progress, const nb::object& on_text) {
            return run_stage(stage, options, on_progress, on_text);
        },
        nb::arg("options"), nb::arg("on_progress") = nb::none(), nb::arg("on_text") = nb::none());
}

void bind_gate_gradients(nb::module_& module) {
    const auto rows_of = [](auto member) {
        return [member](nb::handle self) { return views(nb::cast<const GateGradients&>(self).*member, self); };
    };
    nb::class_<GateGradients>(
        module, "GateGradients",
        "What the task says of every query head. Lists have an array for each layer, of its query "
        "heads; read-only arrays look into the object.")
        .def_ro("model_name", &GateGradients::model_name)
        .def_ro("num_heads", &GateGradients::num_heads, "The largest number of query heads of any layer.")
        .def_ro("num_kv_heads", &GateGradients::num_kv_heads, "Likewise of KV heads.")
        .def_ro("num_steps", &GateGradients::num_steps, "Examples, each as often as there were epochs.")
        .def_ro("num_tokens", &GateGradients::num_tokens, "Target tokens.")
        .def_ro("mean_loss", &GateGradients::mean_loss, "Nats per token, mean over examples.")
        .def_prop_ro("absolute_sums", rows_of(&GateGradients::absolute_sums),
                     nb::sig("def absolute_sums(self) -> list[numpy.typing.NDArray[numpy.float64]]"),
                     "Sums of |gradient| over examples.")
        .def_prop_ro("signed_sums", rows_of(&GateGradients::signed_sums),
                     nb::sig("def signed_sums(self) -> list[numpy.typing.NDArray[numpy.float64]]"),
                     "Sums of the gradient over examples.")
        .def_prop_ro("moving_averages", rows_of(&GateGradients::moving_averages),
                     nb::sig("def moving_averages(self) -> list[numpy.typing.NDArray[numpy.float64]]"),
                     "Moving averages of |gradient|, weight 0.1 on the newest.")
        .def(
            "layer_scores", [](const GateGradients& self) { return arrays(self.layer_scores()); },
            nb::sig("def layer_scores(self) -> list[numpy.typing.NDArray[numpy.float64]]"),
            "Mean |gradient| divided by the 99th percentile over all heads, clipped to 1.");
    module.def("load_gate_gradients", &load_gate_gradients, nb::arg("path"),
               nb::sig("def load_gate_gradients(path: str | os.PathLike[str]) -> GateGradients"),
               "Reads gate_gradients.json.");
}

void bind_statistics(nb::module_& module) {
    nb::class_<ChannelStatistics>(module, "ChannelStatistics", "Sum of squares of every input channel of a matrix.")
        .def_prop_ro(
            "sum_of_squares",
            [](nb::handle self) { return view(nb::cast<const ChannelStatistics&>(self).sum_of_squares, self); })
        .def_ro("count", &ChannelStatistics::count, "Tokens.");
    nb::class_<CurvatureStatistics>(module, "CurvatureStatistics",
                                    "The diagonal Fisher information of a matrix by its row and column sums.")
        .def_prop_ro("rows",
                     [](nb::handle self) { return view(nb::cast<const CurvatureStatistics&>(self).rows, self); })
        .def_prop_ro("columns",
                     [](nb::handle self) { return view(nb::cast<const CurvatureStatistics&>(self).columns, self); })
        .def_ro("count", &CurvatureStatistics::count, "Targets that labels were drawn for.");
    nb::class_<Statistics>(module, "Statistics", "Activation statistics of a scoring run, by GGUF names of matrices.")
        .def_prop_ro("names",
                     [](const Statistics& self) {
                         std::vector<std::string> names;
                         for (const auto& [name, matrix] : self.matrices) names.push_back(name);
                         return names;
                     })
        .def("find", &Statistics::find, nb::arg("name"), nb::rv_policy::reference_internal,
             nb::sig("def find(self, name: str) -> ChannelStatistics | None"))
        .def("find_curvature", &Statistics::find_curvature, nb::arg("name"), nb::rv_policy::reference_internal,
             nb::sig("def find_curvature(self, name: str) -> CurvatureStatistics | None"));
    module.def(
        "load_statistics", [](const std::filesystem::path& path) { return load_statistics(path); }, nb::arg("path"),
        nb::sig("def load_statistics(path: str | os.PathLike[str]) -> Statistics"),
        "Reads stats.gguf of score, or an imatrix of llama-imatrix.");
}

}  // namespace
}  // namespace plasticity

NB_MODULE(_native, module) {
    using namespace plasticity;
    nb::register_exception_translator(translate);
    bind_stage(module, "score", score_stage);
    bind_stage(module, "plan", plan_stage);
    bind_stage(module, "compress", compress_stage);
    bind_stage(module, "verify", verify_stage);
    bind_stage(module, "infer", infer_stage);
    bind_gate_gradients(module);
    bind_statistics(module);
}
