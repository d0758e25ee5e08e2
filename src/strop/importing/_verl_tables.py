"""verl's settings: what it takes by default, what has one of strop's, and what has none and why."""

from __future__ import annotations

from typing import Any

from strop.importing._transformers import SHUFFLED
from strop.importing.draft import Rules, To, number, whole

_ACTOR = "actor_rollout_ref.actor"
_VLLM = "strop starts a vLLM server or uses a running one: rollout.engine=vllm (docs/generation.md)"
_SFT = {
    "data.train_batch_size": 256, "data.micro_batch_size_per_gpu": 4, "data.max_length": 1024,
    "data.truncation": "error", "optim.weight_decay": 0.01, "optim.clip_grad": 1.0, "trainer.total_epochs": 4,
    "trainer.seed": 1, "model.lora_rank": 0, "model.lora_alpha": 16, "model.target_modules": "all-linear",
}  # fmt: skip
DEFAULTS: dict[str, dict[str, Any]] = {
    "sft": {
        **_SFT, "optim.lr": 1e-3, "optim.betas": [0.9, 0.999], "optim.lr_warmup_steps_ratio": 0.0,
        "optim.lr_scheduler_type": "constant", "data.messages_key": "messages", "data.max_token_len_per_gpu": 8192,
        "data.use_dynamic_bsz": True,
    },
    "old sft": {
        **_SFT, "optim.lr": 1e-5, "optim.betas": [0.9, 0.95], "optim.lr_warmup_steps_ratio": 0.1,
        "optim.lr_scheduler_type": "cosine", "data.prompt_key": "question", "data.response_key": "answer",
    },
    "ppo": {
        "data.train_batch_size": 1024, "data.max_prompt_length": 512, "data.max_response_length": 512,
        "data.prompt_key": "prompt", "actor_rollout_ref.rollout.n": 1, "actor_rollout_ref.rollout.temperature": 1.0,
        f"{_ACTOR}.ppo_mini_batch_size": 256, f"{_ACTOR}.ppo_epochs": 1, f"{_ACTOR}.clip_ratio": 0.2,
        f"{_ACTOR}.loss_agg_mode": "token-mean", f"{_ACTOR}.entropy_coeff": 0.0, f"{_ACTOR}.kl_loss_coef": 0.001,
        f"{_ACTOR}.kl_loss_type": "low_var_kl", f"{_ACTOR}.use_kl_loss": False, f"{_ACTOR}.optim.lr": 1e-6,
        f"{_ACTOR}.ppo_max_token_len_per_gpu": 16384, f"{_ACTOR}.optim.lr_warmup_steps_ratio": 0.0,
        f"{_ACTOR}.optim.weight_decay": 0.01, f"{_ACTOR}.optim.lr_scheduler_type": "constant",
        f"{_ACTOR}.optim.betas": [0.9, 0.999], f"{_ACTOR}.clip_ratio_c": 3.0,
        f"{_ACTOR}.policy_loss.loss_mode": "vanilla", "critic.optim.lr": 1e-5, "critic.optim.weight_decay": 0.01,
        "algorithm.filter_groups.max_num_gen_batches": 10, "algorithm.rollout_correction.rollout_is_threshold": 2.0,
        f"{_ACTOR}.grad_clip": 1.0, "actor_rollout_ref.model.lora_rank": 0, "actor_rollout_ref.model.lora_alpha": 16,
        "actor_rollout_ref.model.target_modules": "all-linear", "algorithm.adv_estimator": "gae",
        "algorithm.gamma": 1.0, "algorithm.lam": 1.0, "algorithm.kl_penalty": "kl", "algorithm.kl_ctrl.kl_coef": 0.001,
        "algorithm.use_kl_in_reward": False, "critic.cliprange_value": 0.5, "trainer.total_epochs": 30,
        "actor_rollout_ref.model.enable_gradient_checkpointing": True,
    },
}  # fmt: skip
RULES: dict[str, Rules] = {
    "sft": {
        "optim.lr": To("train.learning_rate", number),
        "optim.weight_decay": To("train.weight_decay", number),
        "optim.clip_grad": To("train.max_grad_norm", number),
        "trainer.seed": To("train.seed", whole),
        "model.enable_gradient_checkpointing": To("train.gradient_checkpointing", bool, (None, False)),
        "data.chat_template": To("chat.template", str),
        "data.apply_chat_template_kwargs": To("chat.template_kwargs", dict, (None, {})),
    },
    "ppo": {
        f"{_ACTOR}.optim.lr": To("train.learning_rate", number),
        f"{_ACTOR}.optim.weight_decay": To("train.weight_decay", number),
        f"{_ACTOR}.grad_clip": To("train.max_grad_norm", number),
        "data.seed": To("train.seed", whole),
        "actor_rollout_ref.model.enable_gradient_checkpointing": To(
            "train.gradient_checkpointing", bool, (None, False)
        ),
        "actor_rollout_ref.model.custom_chat_template": To("chat.template", str),
        "data.apply_chat_template_kwargs": To("chat.template_kwargs", dict, (None, {})),
    },
}
NEEDLESS = {
    "every step is written to metrics.jsonl, and answers to rollouts/": "trainer.logger trainer.project_name "
    "trainer.log_val_generations trainer.rollout_data_dir trainer.validation_data_dir",
    "rows are flat, without padding, and filled by length": "*.use_remove_padding *.use_dynamic_bsz "
    "data.balance_dp_token trainer.balance_batch data.pad_mode *.log_prob_micro_batch_size_per_gpu "
    "*.log_prob_micro_batch_size *.log_prob_max_token_len_per_gpu *.log_prob_use_dynamic_bsz "
    "*.forward_micro_batch_size_per_gpu *.forward_max_token_len_per_gpu *.ppo_micro_batch_size "
    "*.ppo_max_token_len_per_gpu *.ppo_micro_batch_size_per_gpu data.micro_batch_size data.max_token_len_per_gpu",
    "the fastest exact kernels of the machine are used by themselves": "*.use_liger *.use_fused_kernels "
    "*.fused_kernel_options *.use_torch_compile *.entropy_from_logits_with_chunking *.entropy_checkpointing",
    "a run that is cut off goes on by the same command": "trainer.resume_mode trainer.resume_from_path "
    "trainer.resume_path trainer.del_local_ckpt_after_load *.save_contents *.load_contents *.async_save",
    "data are shuffled by train.seed": "*.shuffle data.validation_shuffle",
    "data are read without a loader's processes": "data.dataloader_num_workers data.filter_overlong_prompts_workers "
    "data.return_raw_chat data.return_raw_input_ids data.return_full_prompt data.return_multi_modal_inputs "
    "data.use_shm *.use_shm data.val_batch_size data.reward_fn_key",
    "a step is traced by strop run --profile": "global_profiler. trainer.profile_steps *.profiler",
    "the global batch is over all devices already": "trainer.n_gpus_per_node trainer.nnodes",
    "which device is compute.device": "trainer.device",
    "it chooses the program that computes, not what is computed": "engine optim model model_engine strategy "
    "optim.num_cycles optim.zero_indexed_step optim.optimizer_impl optim.total_training_steps",
    "rows of messages are known by their columns": "data.tools_key data.enable_thinking_key data.num_workers "
    "data.ignore_input_ids_mismatch checkpoint. trainer.profile_interval",
    "only the loss_mode that reads it has it": f"{_ACTOR}.policy_loss. {_ACTOR}.tau_pos {_ACTOR}.tau_neg",
}
"""Why strop needs none of these: names, sections (that end in a dot), and ``*.name`` for a name in any section."""
OFF = {
    "what that file says is not read; put what is to count on the command line": "config-path config-name config-dir",
    "the run's folder is runs/NAME; give another with folder=PATH": "trainer.default_local_dir "
    "trainer.default_hdfs_dir",
    "how weights are spread over devices is no setting of a recipe": "*.strategy *.param_offload *.optimizer_offload "
    "*.offload_policy *.fsdp_size *.reshard_after_forward *.forward_prefetch *.ulysses_sequence_parallel_size "
    "ulysses_sequence_parallel_size *.model_dtype *.wrap_policy *.min_num_params *.cpu_offload *.offload_params "
    "use_remove_padding engine. *.enable_activation_offload *.tensor_model_parallel_size",
    _VLLM: "actor_rollout_ref.rollout.name *.gpu_memory_utilization *.enforce_eager *.free_cache_engine "
    "*.max_num_batched_tokens *.max_model_len *.max_num_seqs *.enable_chunked_prefill *.load_format *.layered_summon "
    "*.disable_log_stats *.mode *.dtype actor_rollout_ref.rollout.engine_kwargs. actor_rollout_ref.rollout.agent. "
    "*.calculate_log_probs",
    "evaluations are tasks (evals, train.tasks)": "actor_rollout_ref.rollout.val_kwargs. trainer.val_before_train "
    "trainer.val_only",
    "tools and turns are an `environment` (docs/rl.md)": "actor_rollout_ref.rollout.multi_turn.",
    "a critic is trained in the policy's batches and steps, by objective.value_coef": "critic.",
    "is no part of strop's objectives": "algorithm.use_pf_ppo algorithm.pf_ppo. algorithm.rollout_correction. "
    "algorithm.filter_groups. algorithm.kl_ctrl.",
    "further prompts come in rounds of rollout.prompts_per_step": "data.gen_batch_size",
    "a long prompt is an error; leave it out of the file": "data.filter_overlong_prompts",
    "texts alone: pictures and film are not read": "data.image_key data.video_key",
    "strop reads data and models by itself": "data.custom_cls. data.sampler. data.datagen. "
    "*.external_lib data.tokenizer",
    "code from the hub is not run": "*.trust_remote_code",
    "the model is used as its configuration says": "actor_rollout_ref.model.override_config. model.override_config.",
    "the reference is the model that the stage begins with": "actor_rollout_ref.ref.",
    "a reward model is scored as a part of the reward": "reward_model. reward. sandbox_fusion.",
    "Ray is not used": "ray_kwargs. ray_init. trainer.ray_wait_register_center_timeout "
    "actor_rollout_ref.nccl_timeout actor_rollout_ref.hybrid_engine",
}
_SAMPLER = "the sampler draws from the distribution that is trained"
NEUTRAL: dict[str, tuple[str, tuple[Any, ...]]] = {
    "actor_rollout_ref.rollout.top_p": (_SAMPLER, (None, 1, 1.0)),
    "actor_rollout_ref.rollout.top_k": (_SAMPLER, (None, -1, 0)),
    "actor_rollout_ref.rollout.do_sample": (_SAMPLER, (None, True)),
    "actor_rollout_ref.rollout.ignore_eos": (_SAMPLER, (None, False)),
    "data.shuffle": (SHUFFLED, (None, True)),
    "trainer.critic_warmup": ("the policy learns from the first step on", (None, 0)),
    "algorithm.rollout_correction.rollout_is_batch_normalize": ("weights stay as they are", (None, False)),
    "optim.override_optimizer_config": ("optimisers have no further arguments of their own here", (None,)),
    "optim.optimizer": ("train.optimizer is adamw, adamw_8bit, adafactor or muon", (None, "AdamW")),
    "data.enable_thinking_default": ("chat.template_kwargs: {enable_thinking: …}", (None, "none")),
}
"""Why strop has nothing for these, and the values with which they change nothing."""
