namespace Peft.Causal

open Peft

/// Rotary positions as configurations spell them: transformers 5's `rope_parameters`, and `rope_theta` with `rope_scaling`
/// before it.
[<RequireQualifiedAccess>]
module RotaryConfig =
    let private typeNames = [ "rope_type"; "type" ]

    let private scaling (fields: ConfigFields) : RotaryScaling =
        let factor () = fields.Positive([ "factor" ], None)

        match fields.TryText typeNames with
        | None
        | Some "default" -> RotaryScaling.Unscaled
        | Some "linear" -> RotaryScaling.Linear(factor ())
        | Some "llama3" ->
            let low, high =
                fields.Positive([ "low_freq_factor" ], None), fields.Positive([ "high_freq_factor" ], None)

            if high <= low then
                fields.Refuse $"high_freq_factor is {high}, and low_freq_factor is {low}; it is above that."

            RotaryScaling.Llama3(factor (), low, high, fields.Need [ "original_max_position_embeddings" ])
        | Some other ->
            fields.Refuse
                $"rotary positions scaled by '{other}' are not supported: default, linear and llama3 are. Without it the model keeps to the length of its pretraining: take the scaling out of config.json if that is enough."

    /// The rotary positions that a configuration describes, for heads of `headWidth`.
    let read (fields: ConfigFields) (headWidth: int) : Rotary =
        let inside =
            match fields.TryInside "rope_parameters" with
            | Some found -> Some found
            | None -> fields.TryInside "rope_scaling"

        let number name fallback =
            match inside |> Option.bind _.TryNumber([ name ]), fields.TryNumber [ name ] with
            | Some value, _
            | None, Some value -> value
            | None, None -> fallback

        let theta, share = number "rope_theta" 10000.0, number "partial_rotary_factor" 1.0

        if theta <= 0.0 || share <= 0.0 || share > 1.0 then
            fields.Refuse
                $"rope_theta is {theta} and partial_rotary_factor {share}; they are above 0, and the second is at most 1."

        {
            Base = theta
            Width = int (float headWidth * share)
            Layout = RotaryLayout.Halves
            Scaling = inside |> Option.map scaling |> Option.defaultValue RotaryScaling.Unscaled
        }

    /// The same as transformers 4 wrote it, which 5 reads, too.
    let write (headWidth: int) (rotary: Rotary) : (string * obj) list =
        let share = float rotary.Width / float headWidth

        let dictionary (values: (string * obj) list) : (string * obj) list = [ "rope_scaling", dict values ]

        [
            "rope_theta", rotary.Base
            if rotary.Width <> headWidth then
                "partial_rotary_factor", share

            yield!
                match rotary.Scaling with
                | RotaryScaling.Unscaled -> []
                | RotaryScaling.Linear factor -> dictionary [ "factor", factor; "rope_type", "linear" ]
                | RotaryScaling.Llama3(factor, low, high, original) ->
                    dictionary
                        [
                            "factor", factor
                            "high_freq_factor", high
                            "low_freq_factor", low
                            "original_max_position_embeddings", original
                            "rope_type", "llama3"
                        ]
        ]
