"""LLaMA-Factory's settings: what has one of strop's, and what has none and why."""

from __future__ import annotations

from strop.importing.draft import Needless as NotNeeded
from strop.importing.draft import Off, Rules, To, names, number, same

OTHERS = names(
    "train_on_prompt mask_history use_dft_loss moe_aux_loss_coef pref_beta pref_ftx pref_loss dpo_label_smoothing "
    "kto_chosen_weight kto_rejected_weight simpo_gamma ppo_buffer_size ppo_epochs ppo_target reward_model "
    "reward_model_type interleave_probs max_new_tokens temperature num_train_epochs"
)
"""Those of other stages than the one that is imported."""
RULES: Rules = {
    "model_name_or_path": To("model", str),
    "enable_thinking": To("chat.template_kwargs", lambda on: {"enable_thinking": bool(on)}),
    "default_system": Off("set `data: {parts: …, system_prompts: {ratio: 1, prompts: […]}}`", (None,)),
    "template": Off("the model's own chat template is used, as it is served; look with `strop inspect`", (None,)),
    "disable_gradient_checkpointing": To("train.gradient_checkpointing", lambda off: not off),
    "use_rslora": To("lora.rslora", bool, (None, False)),
    "use_dora": To("lora.dora", bool, (None, False)),
    "lora_dropout": To("lora.dropout", number, (None, 0, 0.0)),
    "upcast_layernorm": NotNeeded("weights that train are float32"),
    "quantization_method": Off("4 bits are bitsandbytes' nf4 here", (None, "bnb", "bitsandbytes")),
    "quantization_type": Off("4 bits are nf4 here", (None, "nf4")),
    "double_quantization": NotNeeded("4-bit weights are quantised twice"),
    "preprocessing_batch_size": NotNeeded("data are prepared once and kept"),
    "flash_attn": NotNeeded("the fastest exact kernels of the machine are used by themselves"),
    "trust_remote_code": Off("code from the hub is not run"),
    **same(
        NotNeeded,
        {
            "the report draws it": "plot_loss",
            "rows are always packed without padding, and sequences never see each other": "packing neat_packing",
            "the fastest exact kernels of the machine are used by themselves": "enable_liger_kernel use_unsloth "
            "use_unsloth_gc use_reentrant_gc use_v1_kernels use_kv_cache low_cpu_mem_usage use_fast_tokenizer",
            "what is prepared is kept in strop's cache": "overwrite_cache tokenized_path cache_dir",
            "padding is never trained": "ignore_pad_token_for_loss",
            "evaluation is by tasks (evals)": "compute_accuracy eval_num_beams predict_with_generate "
            "eval_on_each_dataset",
            "every step is written to metrics.jsonl": "include_effective_tokens_per_second "
            "include_num_input_tokens_seen use_swanlab swanlab_project swanlab_run_name swanlab_mode "
            "swanlab_workspace swanlab_api_key swanlab_logdir swanlab_lark_webhook_url swanlab_lark_secret "
            "print_param_status",
            "control strings in a message's text are ordinary text": "split_special_tokens",
            "a merged model and the adapters are both saved": "pissa_convert export_dir export_size export_device "
            "export_legacy_format",
        },
    ),
    **same(
        Off,
        {
            "strop has no such way of training": "use_galore use_apollo use_badam galore_target "
            "galore_rank galore_update_interval galore_scale galore_proj_type galore_layerwise apollo_target "
            "apollo_rank "
            "apollo_update_interval apollo_scale apollo_proj apollo_proj_type apollo_scale_type apollo_layerwise "
            "apollo_scale_front badam_mode badam_start_block badam_switch_mode badam_switch_interval "
            "badam_update_ratio badam_mask_mode badam_verbose loraplus_lr_embedding fp8_backend "
            "fp8_enable_fsdp_float8_all_gather train_from_scratch use_llama_pro shift_attn "
            "mixture_of_depths use_adam_mini loraplus_lr_ratio pissa_init pissa_iter freeze_trainable_layers "
            "freeze_trainable_modules freeze_extra_modules early_stopping_steps disable_shuffling pref_bco_weight "
            "ppo_score_norm ppo_whiten_rewards use_mca fp8 oft_rank oft_block_size oft_target module_dropout",
            "texts alone: pictures, sound and film are not read": "media_dir image_max_pixels image_min_pixels "
            "video_max_pixels video_min_pixels video_fps video_maxlen freeze_vision_tower "
            "freeze_multi_modal_projector freeze_language_model",
            "data are prepared before training, not streamed": "streaming buffer_size",
            "the model's own tokenizer is used; chat.template adds what its format needs": "resize_vocab "
            "add_tokens "
            "add_special_tokens new_special_tokens_config init_special_tokens tool_format",
            "the model is used as its configuration says": "rope_scaling model_revision",
            "weights that train are float32, and products are taken in compute.dtype": "pure_bf16 upcast_lmhead_output",
            "the reference is the model that the stage begins with": "ref_model ref_model_adapters "
            "ref_model_quantization_bit",
            "a reward model is a whole model: merge its adapters": "reward_model_adapters "
            "reward_model_quantization_bit",
            "is no part of strop's preference losses": "ld_alpha",
            "the model is one that strop loads whole": "create_new_adapter adapter_folder offload_folder "
            "quantization_device_map export_quantization_bit infer_backend infer_dtype ray_run_name "
            "ray_num_workers",
            "the sampler draws from the distribution that is trained": "top_p top_k repetition_penalty do_sample "
            "num_beams",
            "strop has no key for a hub in a recipe": "hf_hub_token ms_hub_token om_hub_token",
        },
    ),
    "model_revision": Off("the model is used as its configuration says", (None, "main")),
}
