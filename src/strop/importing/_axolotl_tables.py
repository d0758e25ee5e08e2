"""axolotl's settings: what has one of strop's, and what has none and why."""

from __future__ import annotations

from strop.importing.draft import Needless as NotNeeded
from strop.importing.draft import Off, Rules, To, names, number, same, whole

OTHERS = names(
    "train_on_inputs trl orpo_alpha rpo_alpha simpo_gamma cpo_alpha kto_desirable_weight "
    "kto_undesirable_weight rl_beta dpo_norm_loss dpo_label_smoothing "
    "neftune_noise_alpha num_labels max_prompt_len dpo_use_logits_to_keep early_stopping_patience"
)
"""Those of other stages than the one that is imported."""
RULES: Rules = {
    "base_model": To("model", str),
    "seed": To("train.seed", whole),
    "chat_template_jinja": To("chat.template", str),
    "eot_tokens": To("chat.stop_tokens", list, (None, [])),
    "default_system_message": Off("set `data: {parts: …, system_prompts: {ratio: 1, prompts: […]}}`", (None,)),
    "cosine_constant_lr_ratio": Off("a cosine has no constant part here; train.schedule=wsd has", (None,)),
    "special_tokens": Off("the model's own tokenizer is used; chat.stop_tokens names further stop tokens", (None, {})),
    "tokens": Off("the model's own tokenizer is used; chat.template adds what its format needs", (None, [])),
    "shuffle_merged_datasets": Off("all parts are shuffled together (train.seed), whatever their order", (None, True)),
    "dataset_exact_deduplication": Off(
        "a run trains duplicates: `strop doctor FILE --fix CLEAN.jsonl` leaves them out"
    ),
    "tokenizer_config": Off("the tokenizer in the model's own folder is used; put the other one there", (None,)),
    "base_model_config": Off("the configuration in the model's own folder is used; put the other one there", (None,)),
    "bf16": NotNeeded("compute.dtype auto takes the fastest format of the machine"),
    "unfrozen_parameters": Off("all weights train, or adapters; train.groups with learning_rate 0 holds some", (None,)),
    "router_aux_loss_coef": To("train.aux_loss", number, (None, 0, 0.0)),
    "embedding_lr": Off("train.groups: [{match: embedding, learning_rate: …}]", (None,)),
    "embedding_lr_scale": Off("train.groups: [{match: embedding, lr_scale: …}]", (None,)),
    "lr_groups": Off("train.groups, by a pattern of the tensors' names", (None,)),
    "world_size": NotNeeded("the batch has it in it"),
    "peft_use_rslora": To("lora.rslora", bool, (None, False)),
    "peft_use_dora": To("lora.dora", bool, (None, False)),
    "load_in_8bit": Off("frozen weights may be packed in 4 bits (lora.quantize: 4bit), not in 8"),
    **same(
        NotNeeded,
        {
            "rows are always packed without padding, and sequences never see each other": "sample_packing "
            "eval_sample_packing pad_to_sequence_len sample_packing_group_size sample_packing_bin_size "
            "sample_packing_sequentially batch_flattening multipack_real_batches pretrain_multipack_buffer_size "
            "pretrain_multipack_attn",
            "the fastest exact kernels of the machine are used by themselves": "flash_attention xformers_attention "
            "sdp_attention flex_attention eager_attention flash_attn_cross_entropy flash_attn_rms_norm "
            "flash_attn_fuse_qkv flash_attn_fuse_mlp unsloth_cross_entropy_loss unsloth_lora_mlp unsloth_lora_qkv "
            "unsloth_lora_o lora_mlp_kernel lora_qkv_kernel lora_o_kernel liger_rope liger_rms_norm "
            "unsloth_rms_norm unsloth_rope flash_optimum flex_attn_compile_kwargs llama4_linearized_experts "
            "cut_cross_entropy "
            "liger_glu_activation liger_layer_norm liger_fused_linear_cross_entropy attn_implementation",
            "what is prepared is kept in strop's cache": "dataset_prepared_path dataset_keep_in_memory "
            "skip_prepare_dataset dataset_processes",
            "every step is written to metrics.jsonl": "wandb_project wandb_entity wandb_watch wandb_name "
            "wandb_log_model "
            "wandb_run_id wandb_mode use_tensorboard use_wandb mlflow_experiment_name mlflow_tracking_uri "
            "mlflow_run_name hf_mlflow_log_artifacts gradio_title axolotl_config_path total_num_tokens "
            "total_supervised_tokens comet_project_name use_comet use_mlflow include_tokens_per_second "
            "profiler_steps eval_table_size "
            "eval_max_new_tokens",
            "a run that is cut off goes on by the same command": "auto_resume_from_checkpoints",
            "the model's class is read from its configuration": "model_type tokenizer_type tokenizer_use_fast "
            "tokenizer_legacy "
            "cls_model_config processor_type is_llama_derived_model "
            "is_mistral_derived_model is_qwen_derived_model is_falcon_derived_model strict",
            "merged and alone, both are saved": "merge_lora lora_on_cpu merge_method lora_fan_in_fan_out",
            "memory is freed as it goes": "gc_steps low_cpu_mem_usage eval_batch_size",
        },
    ),
    **same(
        Off,
        {
            "strop has no such way of training": "relora relora_prune_ratio relora_prune_method "
            "relora_cpu_offload peft peft_layers_pattern "
            "peft_ensure_weight_tying peft_autocast_adapter_dtype bnb_config_kwargs qlora_sharded_model_loading "
            "adam_epsilon2 adam_beta3 torchdistx_path lisa_step_interval pose_split_on_token_ids pose_num_chunks "
            "pretraining_sample_concatenation min_sample_len embeddings_skip_upcast image_size "
            "loraplus_lr_ratio loraplus_lr_embedding "
            "lisa_n_layers use_pose pose_max_context_len qat quantization curriculum_sampling lora_model_dir gptq "
            "peft_layers_to_transform peft_layer_replication peft_init_lora_weights lr_quadratic_warmup "
            "lr_div_factor "
            "s2_attention process_reward_model "
            "peft_trainable_token_indices lora_target_parameters",
            "how weights are spread over devices is no setting of a recipe": "device ddp use_ray ray_run_name "
            "ray_num_workers dataset_shard_num dataset_shard_idx device_map max_memory gpu_memory_limit "
            "fsdp_final_state_dict_type sequence_parallel_degree context_parallel_size tensor_parallel_size "
            "heads_k_stride ring_attn_func fsdp_version",
            "axolotl's plugins are none of strop's": "plugins",
            "float16 and 8-bit floats are not offered": "fp8 float16",
            "weights that train are float32": "bfloat16 float32",
            "strop sends nothing to the hub": "push_dataset_to_hub hf_use_auth_token",
            "the embedding keeps its rows, and chat.template adds what its format needs": "fix_untrained_tokens "
            "resize_token_embeddings_to_32x mean_resizing_embeddings shrink_embeddings added_tokens_overrides",
            "the model is used as its configuration says": "overrides_of_model_config overrides_of_model_kwargs "
            "rope_scaling revision_of_model",
            "is no part of strop's preference losses": "dpo_use_weighting",
            "train.loss_spike is an alarm by deviations of the loss, and train.alarm: stop ends the run then": ""
            "loss_watchdog_threshold loss_watchdog_patience",
            "checkpoints are written as train.checkpoint_every says": "save_first_step",
            "an evaluation is a task (evals, train.tasks)": "do_bench_eval do_causal_lm_eval "
            "eval_causal_lm_metrics "
            "bench_dataset bench_split",
            "strop starts a vLLM server or uses a running one: rollout.engine=vllm (docs/generation.md)": "vllm",
        },
    ),
}
