namespace Peft

open System

/// BEFT: trained biases on a few maps, as Hugging Face's peft has it.
[<RequireQualifiedAccess>]
module Beft =
    let private sites (where: Targeting) : Selector =
        match Targeting.said where with
        | Some names -> Selector.named names
        | None -> Targeting.selector where

    let private words (where: Targeting) : string list =
        match Targeting.said where with
        | Some [ "v" ] -> []
        | Some names -> [ "on=" + String.Join("+", names) ]
        | None ->
            [
                $"peft={HuggingFaceValue.text (HuggingFaceValue.targeting false false where)}"
            ]

    /// peft keeps a bias as one row.
    let private row (_: string) (shape: int64 list) = 1L :: shape

    let rec private peft (where: Targeting) : HuggingFaceForm =
        // A map that has a bias of its own has two.
        let names = [ ".bias.2", ".beft_bias"; ".bias", ".beft_bias" ]

        { Make.huggingFace "BEFT" (HuggingFaceValue.targeting false false where) names with
            Where = Some where
            OnModules = fun modules -> technique (Targeting.ofNames (List.map fst modules))
            FileShape = row
        }

    /// A bias on these maps, from zero: y = W x + b.
    and technique (where: Targeting) : Technique =
        let on =
            match Targeting.names where with
            | Some names -> String.concat ", " names
            | None -> "the modules named"

        let form =
            Form.atSites (sites where) $"out on {on}" (fun site ->
                [ Branch.Behind [ Step.Shift("bias", [ site.Out ]) ] ])

        { Make.technique "beft" (words where) form (fun where _ -> BitFit.adapter where) with
            IsSaid = (Targeting.said where).IsSome
            Others = [ Convention.HuggingFace, form ]
            // A plain T5 checkpoint has no biases.
            Merges = false
            HuggingFace = Some(peft where)
        }

    let private usual = Targeting.ofNames [ "v" ]

    /// What the name means.
    let spec: Spec =
        {
            Name = "beft"
            Usage = "beft, beft(on=q+v)"
            Source = "Hugging Face peft, BEFT"
            Summary = "A bias on the values' maps, or on others."
            First = "number"
            Read = fun words -> Targeting.read "beft" words |> Option.defaultValue usual |> technique
            Examples = [ "beft"; "beft(on=k+wo)" ]
            HuggingFace =
                Some
                    {
                        Type = "BEFT"
                        Defaults = """ "init_weights": true, "target_modules": null """
                        Notes = [ "init_weights" ]
                        Read = fun values -> values.Targeting [ "v" ] |> Targeting.sorted |> technique
                    }
        }
