//! Tokens per second of candle's quantised Qwen2 on a GGUF, as llama-bench measures them: a prompt from an empty context
//! in one go, or generation from an empty context token by token, each token an arbitrary one.
//!
//!     candle-speed FILE PROMPT_TOKENS GENERATED_TOKENS REPETITIONS     (one of the two token counts 0)
//!
//! Prints one line of JSON. Threads: RAYON_NUM_THREADS.

use std::{env, fs::File, time::Instant};

use anyhow::{ensure, Result};
use candle_core::{quantized::gguf_file, Device, Tensor};
use candle_transformers::models::quantized_qwen2::ModelWeights;

/// Logits behind tokens that stand at `position`, read back so that they are computed. Position 0 empties the cache.
fn step(model: &mut ModelWeights, tokens: &[u32], position: usize) -> Result<f32> {
    let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
    let logits = model.forward(&input, position)?.flatten_all()?.to_vec1::<f32>()?;
    ensure!(logits.iter().all(|x| x.is_finite()), "logits are not finite");
    Ok(logits[0])
}

fn run(model: &mut ModelWeights, prompt: usize, generated: usize) -> Result<f64> {
    let tokens: Vec<u32> = (0..prompt.max(generated) as u32).map(|i| 1000 + (i * 7919) % 30000).collect();
    let start = Instant::now();
    if prompt > 0 {
        step(model, &tokens, 0)?;
    } else {
        for (position, token) in tokens.iter().enumerate() {
            step(model, &[*token], position)?;
        }
    }
    Ok(tokens.len() as f64 / start.elapsed().as_secs_f64())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    ensure!(arguments.len() == 4, "usage: candle-speed FILE PROMPT_TOKENS GENERATED_TOKENS REPETITIONS");
    let count = |i: usize| arguments[i].parse::<usize>();
    let (prompt, generated, repetitions) = (count(1)?, count(2)?, count(3)?);
    ensure!((prompt > 0) != (generated > 0) && repetitions > 0, "either a prompt or generation is measured");

    let mut file = File::open(&arguments[0])?;
    let content = gguf_file::Content::read(&mut file)?;
    let mut model = ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?;
    run(&mut model, prompt.min(16), generated.min(16))?;
    let mut speeds = (0..repetitions).map(|_| run(&mut model, prompt, generated)).collect::<Result<Vec<_>>>()?;
    speeds.sort_by(f64::total_cmp);
    println!("{{\"median_tokens_per_second\": {}, \"all\": {speeds:?}}}", speeds[speeds.len() / 2]);
    Ok(())
}
