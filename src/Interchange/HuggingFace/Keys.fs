namespace Peft

open System.Text.Json

/// The keys of peft's `adapter_config.json`.
[<RequireQualifiedAccess>]
module internal HuggingFaceKeys =
    /// The keys that peft 0.20 writes for each method, with its defaults. What is neither read nor noted must be as here.
    let defaults (method': string) : string =
        let common =
            """ "auto_mapping": null, "base_model_name_or_path": "", "inference_mode": true, "modules_to_save": null,
                "peft_version": "0.20.1", "revision": null, "task_type": "SEQ_2_SEQ_LM" """

        let targets =
            """ "layers_pattern": null, "layers_to_transform": null, "target_modules": null """

        let lora =
            """ "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null, "bias": "none", "corda_config": null,
                "ensure_weight_tying": false, "eva_config": null, "exclude_modules": null, "fan_in_fan_out": false,
                "init_lora_weights": true, "kasa_config": null, "layer_replication": null, "loftq_config": {},
                "lora_alpha": 8, "lora_bias": false, "lora_dropout": 0.0, "lora_ga_config": null, "megatron_config": null,
                "megatron_core": "megatron.core", "monteclora_config": null, "qalora_group_size": 16, "r": 8,
                "rank_pattern": {}, "target_parameters": null, "trainable_token_indices": null, "use_bdlora": null,
                "use_dora": false, "use_qalora": false, "use_rslora": false, "velora_config": null """

        let prompt =
            """ "num_attention_heads": null, "num_layers": null, "num_transformer_submodules": null,
                "num_virtual_tokens": null, "token_dim": null """

        let own =
            match method' with
            | "LORA" -> $"{lora}, {targets}"
            | "ADALORA" ->
                $"""{lora.Replace("\"rank_pattern\": {}", "\"rank_pattern\": null")}, {targets}, "beta1": 0.85, "beta2": 0.85, "deltaT": 1,
                    "init_r": 12, "orth_reg_weight": 0.5, "target_r": 8, "tfinal": 0, "tinit": 0, "total_step": null"""
            | "IA3" ->
                """ "exclude_modules": null, "fan_in_fan_out": false, "feedforward_modules": null, "init_ia3_weights": true,
                    "target_modules": null """
            | "VERA" ->
                $"""{targets}, "bias": "none", "d_initial": 0.1, "fan_in_fan_out": false, "init_weights": true,
                    "projection_prng_key": 0, "r": 256, "save_projection": true, "vera_dropout": 0.0"""
            | "PROMPT_TUNING" ->
                $"""{prompt}, "prompt_tuning_init": "RANDOM", "prompt_tuning_init_text": null, "tokenizer_kwargs": null,
                    "tokenizer_name_or_path": null"""
            | "PREFIX_TUNING" ->
                $"""{prompt}, "encoder_hidden_size": null, "init_weights": null, "prefix_projection": false"""
            | _ -> ""

        $"{{ {common}, \"peft_type\": \"{method'}\", {own} }}"

    /// The methods that are read and written.
    let known = [ "LORA"; "IA3"; "PROMPT_TUNING"; "PREFIX_TUNING"; "VERA"; "ADALORA" ]

    /// Keys that describe the training or the file and leave the function as it is.
    let notes =
        set
            [
                "auto_mapping"
                "base_model_name_or_path"
                "inference_mode"
                "peft_version"
                "revision"
                "task_type"
                "megatron_core"
                "qalora_group_size"
                "loftq_config"
                "init_ia3_weights"
                "init_weights"
                "beta1"
                "beta2"
                "deltaT"
                "tfinal"
                "tinit"
                "total_step"
                "prompt_tuning_init"
                "prompt_tuning_init_text"
                "tokenizer_kwargs"
                "tokenizer_name_or_path"
                "encoder_hidden_size"
                "num_attention_heads"
                "num_layers"
                "token_dim"
            ]

    /// Keys that decide the function and are read.
    let readKeys =
        set
            [
                "peft_type"
                "r"
                "lora_alpha"
                "lora_dropout"
                "use_rslora"
                "use_dora"
                "rank_pattern"
                "alpha_pattern"
                "init_lora_weights"
                "target_modules"
                "exclude_modules"
                "layers_to_transform"
                "layers_pattern"
                "modules_to_save"
                "feedforward_modules"
                "num_virtual_tokens"
                "num_transformer_submodules"
                "d_initial"
                "projection_prng_key"
                "save_projection"
                "vera_dropout"
                "init_r"
                "target_r"
                "orth_reg_weight"
            ]

    /// The values of a JSON object.
    let parse (json: string) : Map<string, JsonElement> =
        use document = JsonDocument.Parse json
        Json.checkTexts document.RootElement

        Map.ofList
            [
                for item in document.RootElement.EnumerateObject() -> item.Name, item.Value.Clone()
            ]


    /// peft's names of AdaLoRA's patterns end in the parameter's name.
    let adaLoraSuffix = ".lora_E"
