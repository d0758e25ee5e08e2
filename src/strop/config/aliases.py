"""What other tools call strop's settings, so that a key written from habit is answered with strop's own."""

from __future__ import annotations

# strop's key (the last one of its path, or the last two) -> names in TRL, transformers, axolotl, LLaMA-Factory, verl,
# nanochat, torchtune and MiniMind.
_NAMES = {
    "model": "model_name_or_path base_model model_path model_name model_id pretrained_model_name_or_path checkpoint",
    "name": "run_name experiment_name project_name project",
    "folder": "output_dir out_dir save_dir save_path output_folder default_local_dir run_folder logging_dir",
    "stages": "stage steps pipeline",
    "data": "dataset datasets train_file train_files train_dataset dataset_name dataset_dir data_path train_data parts",
    "eval_data": "val_files val_file validation_data eval_dataset test_datasets val_data validation_file val_size "
    "val_set_size eval_files",
    "evals": "evaluations benchmarks eval_tasks tasks",
    "path": "file files filename data_files file_name",
    "hub": "repo repo_id hf_hub_url dataset_id",
    "format": "formatting ds_type data_type type",
    "columns": "field_mapping field_messages dataset_text_field prompt_key response_key prompt_column response_column",
    "subset": "config config_name dataset_config",
    "weight": "sampling_ratio ratio probability mixing_ratio interleave_probs",
    "count": "max_samples num_samples n_samples limit samples max_items num_examples",
    "max_tokens": "max_new_tokens max_completion_length response_length max_response_length",
    "train.learning_rate": "lr max_lr peak_lr base_lr",
    "train.epochs": "num_train_epochs num_epochs n_epochs total_epochs max_epochs epoch",
    "train.max_steps": "num_train_steps total_training_steps max_iters num_iterations total_steps num_steps",
    "train.global_batch_size": "batch_size per_device_train_batch_size train_batch_size total_batch_size "
    "micro_batch_size gradient_accumulation_steps grad_accum_steps gradient_accumulation accumulation_steps "
    "device_batch_size bsz",
    "train.micro_batch_tokens": "max_tokens_per_batch seq_len row_tokens micro_batch_size_per_gpu",
    "train.schedule": "lr_scheduler_type lr_scheduler scheduler lr_schedule scheduler_type",
    "train.warmup_steps": "num_warmup_steps lr_warmup_steps warmup_iters warmup",
    "train.warmup_ratio": "warmup_fraction lr_warmup_steps_ratio warmup_frac",
    "train.min_lr_ratio": "cosine_min_lr_ratio min_lr final_lr_frac min_lr_rate min_learning_rate",
    "train.weight_decay": "wd",
    "train.beta1": "adam_beta1",
    "train.beta2": "adam_beta2",
    "train.epsilon": "adam_epsilon eps adam_eps",
    "train.max_grad_norm": "grad_clip gradient_clip_val clip_grad clip_grad_norm gradient_clipping gradient_clip",
    "train.optimizer": "optim optimiser optimizer_type",
    "train.eval_every": "eval_steps eval_interval evals_per_epoch test_freq val_every eval_strategy "
    "evaluation_strategy val_check_interval",
    "train.checkpoint_every": "save_steps save_strategy save_freq saves_per_epoch save_every save_interval",
    "train.keep_last": "save_total_limit max_ckpt_to_keep keep_checkpoints",
    "train.keep_best": "load_best_model_at_end metric_for_best_model early_stopping_metric",
    "train.gradient_checkpointing": "activation_checkpointing enable_gradient_checkpointing "
    "use_gradient_checkpointing enable_activation_checkpointing",
    "train.compile": "torch_compile use_compile",
    "train.neftune_alpha": "neftune_noise_alpha neftune",
    "train.label_smoothing": "label_smoothing_factor",
    "train.reduction": "loss_agg_mode loss_reduction",
    "train.aux_loss": "router_aux_loss_coef aux_loss_coef moe_aux_loss_coef",
    "train.seed": "data_seed random_seed",
    "train.ema_decay": "ema",
    "rollout.group_size": "num_generations n_samples_per_prompt num_generations_per_prompt rollout_n",
    "rollout.prompts_per_step": "rollout_batch_size num_prompts_per_step",
    "rollout.updates_per_rollout": "num_iterations ppo_epochs num_ppo_epochs",
    "rollout.mini_batches": "num_mini_batches ppo_mini_batch_size",
    "objective.kl_coef": "init_kl_coef kl_loss_coef kl_penalty_coef",
    "objective.clip_low": "clip_ratio_low clip_ratio cliprange",
    "objective.clip_high": "epsilon_high clip_ratio_high",
    "objective.preset": "adv_estimator advantage_estimator algorithm",
    "rewards": "reward_funcs reward_functions reward_function custom_reward_function",
    "train": "training training_args training_arguments trainer",
    "chat.max_length": "max_seq_length max_seq_len sequence_len cutoff_len model_max_length max_len block_size "
    "context_length max_input_length",
    "chat.template": "chat_template chat_template_path chat_template_jinja",
    "chat.template_kwargs": "chat_template_kwargs enable_thinking",
    "chat.train_on": "train_on_inputs train_on_prompt assistant_only_loss completion_only_loss "
    "train_on_responses_only mask_history roles_to_train train_on_prompts",
    "chat.too_long": "truncation truncation_mode excess_length_strategy overlong",
    "chat.stop_tokens": "eos_token stop_words stop eos_tokens",
    "compute.device": "device_map use_cpu",
    "compute.dtype": "bf16 fp16 torch_dtype precision mixed_precision half tf32",
    "lora": "adapter finetuning_type use_peft peft_config use_lora peft",
    "lora.r": "lora_r lora_rank rank",
    "lora.alpha": "lora_alpha",
    "lora.dropout": "lora_dropout",
    "lora.targets": "lora_target_modules target_modules lora_target",
    "lora.modules_to_save": "lora_modules_to_save additional_target",
    "lora.rslora": "use_rslora peft_use_rslora",
    "lora.dora": "use_dora peft_use_dora",
    "lora.quantize": "load_in_4bit quantization_bit use_qlora load_in_8bit",
    "from": "from_weight init_from from_stage",
    "system_prompts": "system_prompt default_system system add_system_ratio",
}
ALIASES: dict[str, list[str]] = {}
"""A foreign name -> strop's keys for it, each the last key of a path or the last two."""
for _key, _names in _NAMES.items():
    for _name in _names.split():
        ALIASES.setdefault(_name, []).append(_key)

_NOT_NEEDED = {
    "rows are always packed without padding, and sequences never see each other": "packing sample_packing neat_packing "
    "padding_free pack_sequences eval_packing pad_mode",
    "rows are filled by length, with no padding": "group_by_length length_column_name use_dynamic_bsz",
    "the fastest exact kernels of the machine are used by themselves": "flash_attn flash_attention attn_implementation "
    "use_liger_kernel liger_kernel sdp_attention",
    "every step is written to metrics.jsonl": "logging_steps log_every log_interval report_to",
    "the same command goes on from the newest checkpoint": "resume_from_checkpoint auto_resume",
    "say --fresh on the command line to start again": "overwrite_output_dir overwrite_cache",
}
NOT_NEEDED = {name: why for why, names in _NOT_NEEDED.items() for name in names.split()}
"""A foreign name that needs no setting -> why."""
