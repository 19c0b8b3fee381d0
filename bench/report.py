#!/usr/bin/env python3
"""Joins the benchmarks' JSON files into one and writes its tables. Usage: report.py OUT.json PART.json...

OUT.md is written beside it. Parts of the same benchmark with other models or bases are merged.
"""

import json
import statistics
import sys
from pathlib import Path

from workbench import MODELS


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def settings(part):
    text = f"{part['tokens']:,} calibration tokens, {part['chunks']} chunks of 512 measured, {part['threads']} threads"
    load = part["machine"].get("load_average", 0)
    if load > 1.5 * part["machine"]["cores"]:
        text += f"; load average {load:.1f}: others were at work, seconds are not to be trusted"
    return text + "\n"


def pruning_order(part):
    rows = []
    for name, model in part["figures"].items():
        for share in model["shares"]:
            at_random = ", ".join(f"{value:.2f}" for value in sorted(share["random"]))
            rows.append([MODELS[name], f"{model['dense']:.3f}", f"{share['share']:.1%}",
                         f"{share['heads_removed']} of {share['heads']}", f"**{share['by_score']:.3f}**", at_random,
                         f"{share['best_first']:.2f}"])
    return table(["model", "unpruned", "asked", "heads removed", "lowest scores first", "random, five seeds",
                  "best scores first"], rows)


def task_dependence(part):
    rows = []
    for name, model in part["figures"].items():
        for task, sizes in model["within_a_task"].items():
            rows += [[MODELS[name], f"{task}: rank correlation of two samples of {int(n):,} tokens", f"{value:.3f}"]
                     for n, value in sizes.items()]
        rows += [[MODELS[name], f"rank correlation of {pair}", f"{value:.3f}"]
                 for pair, value in model["between_tasks"].items()]
        for share in model["pruning"]:
            for scores, found in share["perplexity"].items():
                text = ", ".join(f"{task} {value:.3f}" for task, value in found.items())
                gone = "nothing pruned" if scores == "nothing" else f"{share['heads_removed']} of {share['heads']} heads gone by {scores}"
                rows.append([MODELS[name], f"{gone}: perplexity", text])
    return table(["model", "what", "figure"], rows)


def q3ks_rows(part):
    rows = []
    for base, model in part["figures"].items():
        for label, file in model["files"].items():
            for engine in ("own_engine", "llama_perplexity"):
                if engine not in file:
                    continue
                quality = file[engine]
                predicted = file.get("predicted_kl")
                rows.append([base, label, f"{file['bytes']:,}", f"{predicted:.4f}" if predicted else "–",
                             engine.replace("_", " "), f"{quality['mean_kl']:.4f}",
                             f"{quality['median_kl']:.4f}", f"{quality['p999_kl']:.3f}",
                             f"{quality['top1_agreement']:.1%}", f"{quality['perplexity']:.4f}",
                             f"{quality['base_perplexity']:.4f}", f"{file['quantize_seconds']:.1f} s"])
    return table(["base", "file", "bytes", "predicted KL", "measured by", "mean KL", "median", "99.9 %", "top-1",
                  "perplexity", "base's", "quantise"], rows)


def stock_beside(label):
    """llama-quantize's file of the same bytes, of one of q3ks_size.py's labels."""
    return label.rpartition("bytes of ")[2].removesuffix(", imatrix") + ", imatrix"


def by_model_and_file(part):
    """{(model, file): the file's entries, one for each seed of the base}"""
    found = {}
    for base, model in part["figures"].items():
        for label, file in model["files"].items():
            found.setdefault((base.rpartition(", seed")[0], label), []).append(file)
    return found


def over_seeds(part):
    """Means by llama-perplexity, and the divergence of every seed; own files beside llama-quantize's of the same bytes."""
    found, rows = by_model_and_file(part), []
    for (model, label), files in found.items():
        qualities = [file["llama_perplexity"] for file in files]
        mean = {key: statistics.mean(quality[key] for quality in qualities) for key in qualities[0]}
        stock = statistics.mean(file["llama_perplexity"]["mean_kl"] for file in found[model, stock_beside(label)])
        each = ", ".join(f"{quality['mean_kl']:.4f}" for quality in qualities)
        own = ", ".join(f"{file['own_engine']['mean_kl']:.4f}" for file in files if "own_engine" in file)
        rows.append([MODELS[model], label, f"{max(file['bytes'] for file in files):,}", f"**{mean['mean_kl']:.4f}**", each, own,
                     f"{mean['mean_kl'] / stock:.2f}", f"{mean['median_kl']:.4f}", f"{mean['p999_kl']:.3f}",
                     f"{mean['top1_agreement']:.1%}", f"{mean['perplexity']:.4f}", f"{mean['base_perplexity']:.4f}"])
    return table(["model", "file", "bytes", "mean KL", "of each seed", "by the own engine", "÷ llama-quantize's", "median",
                  "99.9 %", "top-1", "perplexity", "base's"], rows)


def q3ks_size(part):
    return f"{over_seeds(part)}\n{q3ks_rows(part)}"


def prediction(part):
    rows = []
    for name, model in part["figures"].items():
        for row in model["recipes"]:
            own = f"{row['calibrated_kl']:.4g} ± {row['calibrated_kl_error']:.2g}" if "calibrated_kl" in row else ""
            rows.append([MODELS[name], row["recipe"], f"{row['bytes']:,}", f"{row['predicted_kl']:.4g}",
                         f"{row['curve_kl']:.4g}", own, f"{row['measured_kl']:.4g}"])
        rows.append([MODELS[name], "**rank correlation, mean error**", "", agreement(model["sum_of_damages"]),
                     agreement(model["curve"]), agreement(model["plans"]["calibrated"]), ""])
    return table(["model", "recipe", "bytes", "sum of damages", "on the curve", "--calibrate", "measured KL"], rows)


def agreement(figures):
    return f"**{figures['rank_correlation']:.3f}, {figures['mean_error']:.0%}**"


def refinement(part):
    rows = []
    for name, model in part["figures"].items():
        for label, row in model.items():
            tried = row.get("refinement", {"trials": "", "changes": [], "kept": ""})
            rows.append([MODELS[name], label, f"{row['bytes']:,}", tried["trials"], len(tried["changes"]), tried["kept"],
                         f"{row['mean_kl']:.4f}", f"{row['top1_agreement']:.1%}", f"{row['plan_seconds']:.0f} s"])
    return table(["base", "plan", "bytes", "trials", "gained", "confirmed", "mean KL", "top-1", "plan"], rows)


def alignment(part):
    rows = []
    for title, model in part["figures"].items():
        for row in model["rows"]:
            case = [title, row["bits"], row["align"]]
            if "smallest_file" in row:
                rows.append([*case, f"does not fit; the smallest file has {row['smallest_file']:,} bytes", *["–"] * 6])
                continue
            padding = ", ".join(f"{name} {size}" for name, size in row["padding"].items())
            if not row.get("stock", True):
                padding = "input columns of single matrices: not stock"
            stock = f"{row['stock_perplexity']:.4f}" if "stock_perplexity" in row else "–"
            rows.append([*case, padding or "nothing padded", row["architecture"], f"{row['bytes']:,}", f"{row['predicted_kl']:.4f}",
                         f"{row['mean_kl']:.4f}", f"{row['top1_agreement']:.1%}",
                         f"{row['perplexity']:.4f} / {stock}"])
    return table(["base", "bits per weight asked", "`--align`", "padding", "architecture", "bytes", "predicted KL",
                  "measured KL", "top-1", "perplexity, own engine / llama-perplexity"], rows)


def logits_agreement(part):
    rows = []
    for name, model in part["figures"].items():
        for label, file in model.items():
            own, stock = file["perplexity_own"], file["perplexity_stock"]
            tools = [f"{file[tool]:.4f}" if tool in file else "–" for tool in ("plasticity_eval", "llama_perplexity")]
            rows.append([MODELS[name], label, f"{file['positions']:,}", f"{file['max_abs_difference']:.4g}",
                         f"{file['mean_abs_difference']:.2g}", f"{file['top1_agreement']:.2%}",
                         f"{own:.4f} / {stock:.4f}", f"{abs(own - stock) / stock:.4%}", *tools])
    return table(["model", "file", "positions", "max abs logit difference", "mean", "same top-1",
                  "perplexity in process, own / stock", "difference", "`plasticity eval`", "`llama-perplexity`"], rows)


def hf_round_trip(part):
    rows = [[MODELS[name], f"{model['original']:.4f}", f"{model['original_as_f16']:.4f}", f"{model['round_trip']:.4f}"]
            for name, model in part["figures"].items()]
    return table(["model", "original GGUF", "its weights as F16", "through a folder and back, F16"], rows)


def compensation(part):
    rows = []
    for name, model in part["figures"].items():
        for share in model["shares"]:
            cut, compensated = share["cut"], share["compensated"]
            rows.append([MODELS[name], share["heads_removed"],
                         *(f"{variant[key]:.4f}" for key in ("mean_kl", "perplexity") for variant in (cut, compensated)),
                         f"{cut['base_perplexity']:.4f}"])
    return table(["model", "heads removed", "mean KL, cut", "mean KL, compensated", "perplexity, cut",
                  "perplexity, compensated", "base's"], rows)


def output_error(part):
    text = ""
    for name, model in part["figures"].items():
        rows = [[MODELS[name], kind, layer["matrices"], *(f"{layer[who]:.3e}" for who in ("ggml", "own", "feedback")),
                 f"{layer['own'] / layer['ggml']:.3f}", f"{layer['feedback'] / layer['own']:.3f}"]
                for kind, layer in model["layers"].items()]
        text += table(["model", "type", "matrices", "ggml", "own", "own with feedback", "own / ggml", "feedback / own"], rows)
        rows = [[MODELS[name], kind, *(f"{file[key]:.4f}" for key in ("mean_kl", "perplexity")
                                       for file in (files["own"], files["feedback"]))]
                for kind, files in model["model"].items()]
        text += "\n" + table(["model", "type of all matrices", "mean KL, own", "mean KL, with feedback",
                              "perplexity, own", "perplexity, with feedback"], rows) if rows else ""
    return text


def healing(part):
    rows = []
    for name, files in part["figures"].items():
        for label, file in files.items():
            before, after = file["before"], file["after"] or {}
            rows.append([name, label, f"{before['bytes']:,}", f"{before['mean_kl']:.4f}",
                         f"{after['mean_kl']:.4f}" if after else "not written", f"{before['perplexity']:.4f}",
                         f"{after['perplexity']:.4f}" if after else "", file["heal"]["steps"], f"{file['heal']['seconds']:.0f} s"])
    return table(["model", "file", "bytes", "mean KL", "healed", "perplexity", "healed", "steps", "time"], rows)


def speculation(part):
    rows = [[MODELS[name], f"{model['alone_tokens_per_second']:.1f}", label, f"{draft['ratio']:.2f}×",
             f"{draft['accepted']} of {draft['guessed']}", f"{draft['same_tokens']} of {draft['prompts']}"]
            for name, model in part["figures"].items() for label, draft in model["drafts"].items()]
    return table(["model, F16", "alone, tokens/s", "draft", "speed with it", "guesses taken", "texts the same to the token"], rows)


def code_tasks(part):
    rows = [[MODELS[name], label, f"{file['bytes']:,}", f"{len(file['functions'])} of 5", f"{file['human_eval']} of {model['problems']}"]
            for name, model in part["figures"].items() for label, file in model["files"].items()]
    pairs = [[MODELS[name], pair, *counts.values()] for name, model in part["figures"].items()
             for pair, counts in model["pairs"].items()]
    return table(["model", "file", "bytes", "five functions", "HumanEval, greedy"], rows) + "\n" + table(
        ["model", "two files", "both", "only the first", "only the second", "neither"], pairs)


def speed(part):
    def value(what, number):
        if number is None:
            return ""
        return f"{number / 2**20:,.0f} MiB" if what.startswith("peak ") else f"{number:.1f}"

    rows = [[MODELS[name], what, value(what, pair["own"]), value(what, pair["stock"]), f"{pair['ratio']:.2f}×",
             value(what, pair.get("candle")), f"{pair['candle_ratio']:.2f}×" if "candle_ratio" in pair else "", pair["n"]]
            for name, model in part["figures"].items() for what, pair in model.items()]
    return table(["model", "what (tokens/s)", "plasticity", "llama.cpp", "ratio", "candle", "ratio to candle", "n"], rows)


def score_speed(part):
    rows = []
    for name, model in part["figures"].items():
        speeds = model["tokens_per_second"]
        stock = model["llama_cpp"]
        for kind, label in (("keeping", "activations of all blocks kept"), ("recomputing", "forward passes computed again")):
            rows.append([MODELS[name], f"plasticity score, {label}", speeds[kind],
                         f"{model['peak_resident_bytes'][kind] / 2**20:,.0f} MiB",
                         f"{model[f'{kind}_ratio']:.2f}× llama-bench ({stock}, {speeds[stock]} tokens/s)",
                         f"{model['bound'][kind]:.2f}×"])
        for dtype, found in model.get("pytorch", {}).items():
            rows.append([MODELS[name], f"PyTorch, {dtype}", found["tokens_per_second"],
                         f"{found['peak_resident_bytes'] / 2**20:,.0f} MiB", "", ""])
    return table(["model", "what", "tokens/s", "peak resident", "ratio", "of products alone"], rows)


def score_memory(part):
    rows = []
    for name, runs in part["figures"].items():
        for run in runs if isinstance(runs, list) else [runs]:
            rows.append([MODELS.get(name, run.get("shape")), gigabytes(run["limit"]) if "limit" in run else "none",
                         f"{run['peak_resident_bytes'] / 1e9:.2f} GB", f"{run['seconds']:.0f} s",
                         "a part at a time" if run["streamed"] else "all", {True: "yes", False: "NO"}.get(run.get("same_bytes"), "–")])
    return table(["model", "limit", "peak resident", "seconds", "weights in memory", "same bytes as without"], rows)


def quantised_base(part):
    rows = [[MODELS[name], kind, f"{value:.4f}"] for name, model in part["figures"].items() for kind, value in model.items()]
    return table(["model", "scores of", "rank correlation with F16's"], rows)


def quantize_speed(part):
    rows = []
    for name, model in part["figures"].items():
        for mix, pair in model["mixes"].items():
            cells = [MODELS[name], mix]
            for key in ("seconds", "cpu_seconds"):
                own, stock = (statistics.median(pair[who][key]) for who in ("own", "stock"))
                cells += [f"{own:.1f}", f"{stock:.1f}", f"{pair['times_faster_' + key]:.2f}×"]
            cells += [f"{pair[who]['mean_kl']:.4f}" if "mean_kl" in pair[who] else "–" for who in ("own", "stock")]
            rows.append(cells)
    return table(["model", "mix", "plasticity, s", "llama-quantize, s", "times faster", "plasticity, processor s",
                  "llama-quantize, processor s", "times faster", "plasticity, mean KL", "llama-quantize, mean KL"], rows)


def hf_to_gguf(part):
    rows = []
    for name, model in part["figures"].items():
        for mix, sides in model["mixes"].items():
            for who, label in (("own", "plasticity"), ("stock", "convert_hf_to_gguf.py + llama-quantize")):
                total = sides[who]["steps"]["total"]
                steps = " + ".join(f"{usage['seconds']:.1f}" for step, usage in sides[who]["steps"].items()
                                   if step != "total")
                seconds = f"{total['seconds']:.1f} s" + (f" ({steps})" if steps else "")
                memory = [f"{total[f'peak_{kind}_bytes'] / 2**20:,.0f} MiB" for kind in ("resident", "anonymous")]
                rows.append([MODELS[name], mix, label, seconds, f"{total['cpu_seconds']:.1f} s", *memory,
                             f"{total['peak_disk_bytes'] / 1e9:.2f} GB", f"{sides[who]['bytes']:,}",
                             len(total["all_seconds"])])
            less = sides["times_less"]
            rows.append([MODELS[name], mix, "**times less**", *(f"**{less[key]:.2f}×**" for key in (
                "seconds", "cpu_seconds", "peak_resident_bytes", "peak_anonymous_bytes", "peak_disk_bytes")), "", ""])
    return table(["model", "mix", "from the folder by", "wall", "processor", "peak resident", "of which anonymous", "peak disk",
                  "file, bytes", "n"], rows)


def gigabytes(count):
    return f"{count / 1e9:.2f} GB"


def planned_cells(row):
    if "infeasible" in row:
        return [row["infeasible"].split(". ")[1], "", "", "", ""]
    heads = f"{row['heads_kept']:,} of {row['heads']:,} ({row['fewest_heads']} to {row['most_heads']} a layer)"
    types = ", ".join(f"{name} {share:.1%}" for name, share in row["types"].items() if share >= 0.001)
    return [heads, f"{row['groups_kept']} of {row['groups']}", types, f"{row['file_bytes']:,}",
            f"{gigabytes(row['memory_bytes'])} ({gigabytes(row['kv_cache_bytes'])} KV cache)"]


def large_shapes(part):
    figures = part["figures"]
    plans = [[name, f"`{row['asked']}`", f"{row['seconds']:.2f} s", *planned_cells(row)]
             for name, rows in figures["plans"].items() for row in rows]
    compressions = []
    for row in figures["compress"]:
        read, written = (row[key] / row["seconds"] / 1e6 for key in ("source_bytes", "file_bytes"))
        compressions.append([row["what"], gigabytes(row["source_bytes"]), gigabytes(row["file_bytes"]),
                             f"{row['seconds']:.1f} s", f"{row['cpu_seconds']:.1f} s", f"{read:,.0f} MB/s",
                             f"{written:,.0f} MB/s", f"{row['peak_resident_bytes'] / 2**20:,.0f} MiB"])
    return table(["shape", "plan", "seconds", "query heads kept", "KV groups", "types, by weights", "file, bytes",
                  "at run time"], plans) + "\n" + table(
        ["compress, 70B shape, Q3_K, 3 of 8 KV groups removed", "source", "file", "seconds", "processor seconds", "read",
         "written", "peak memory"], compressions)


SECTIONS = {"pruning_order": ("Which heads go", pruning_order),
            "task_dependence": ("Heads of one task and of another", task_dependence),
            "quantised_base": ("Scores of a quantised model against those of its F16 original", quantised_base),
            "score_speed": ("Scoring side by side", score_speed),
            "score_memory": ("Scoring within a limit on memory", score_memory),
            "compensation": ("What compensation gives back after pruning", compensation),
            "output_error": ("Relative error of what matrices give out, on text not calibrated on", output_error),
            "q3ks_size": ("At the size of llama-quantize's files with importance matrix", q3ks_size),
            "prediction": ("Predicted against measured KL divergence", prediction),
            "refinement": ("Plans before and after trials", refinement),
            "alignment": ("Rows that 256-wide blocks do not divide: 32-wide types or padding", alignment),
            "logits_agreement": ("Own engine and stock llama.cpp on the same files", logits_agreement),
            "hf_round_trip": ("Through a Hugging Face folder and back, perplexity by llama-perplexity", hf_round_trip),
            "quantize_speed": ("Quantising a file, the same types for every tensor", quantize_speed),
            "hf_to_gguf": ("From a Hugging Face folder to a quantised GGUF, the same types for every tensor", hf_to_gguf),
            "large_shapes": ("Shapes of large models", large_shapes),
            "healing": ("Files before and after heal", healing),
            "speculation": ("A draft that guesses ahead", speculation),
            "code_tasks": ("Functions that files write, run against their tests", code_tasks),
            "speed": ("Speed side by side", speed)}


def can_be_joined(part, other):
    """Whether they differ in nothing but in what was measured."""
    same = all(part[key] == other[key] for key in ("plasticity", "llama_cpp", "threads", "tokens", "chunks"))
    return same and part["machine"]["cpu"] == other["machine"]["cpu"] and not part["figures"].keys() & other["figures"].keys()


def join(parts):
    joined = {}
    for part in parts:
        of_benchmark = joined.setdefault(part["benchmark"], [])
        like = next((other for other in of_benchmark if can_be_joined(part, other)), None)
        if like:
            like["figures"] |= part["figures"]
        else:
            of_benchmark.append(part)
    return joined


def markdown(joined):
    first = next(iter(joined.values()))[0]
    machine = first["machine"]
    lines = [f"# Measured with {first['plasticity']} and llama.cpp {first['llama_cpp']}\n",
             f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}.\n"]
    for name, parts in joined.items():
        title, render = SECTIONS[name]
        lines.append(f"## {title}\n\n`bench/{name}.py`\n")
        for part in parts:
            lines += [settings(part), render(part)]
    return "\n".join(lines)


def main():
    target, *files = map(Path, sys.argv[1:])
    joined = join([json.loads(file.read_text(encoding="utf-8")) for file in files])
    target.write_text(json.dumps(joined, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    target.with_suffix(".md").write_text(markdown(joined), encoding="utf-8")
    print(target.with_suffix(".md"))


if __name__ == "__main__":
    main()
