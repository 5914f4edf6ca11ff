namespace Peft.Reports

open Peft

/// Ablation variants: techniques at some of their sites only. Tables may hide them and figures draw them apart, since there
/// are many of each.
[<RequireQualifiedAccess>]
module Variants =
    let private isVariant (run: Run) =
        run.Experiment.Placement <> Placement.everywhere

    let private everywhere (run: Run) =
        Tables.nameOf
            { run with
                Experiment =
                    { run.Experiment with
                        Placement = Placement.everywhere
                    }
            }

    /// The variants of a setting as tables write them, each with the name of its technique at all of its sites.
    let families (setting: SettingFindings) : Map<string, string> =
        let finished = setting.Runs |> List.filter _.IsFinished
        let nameIn = Tables.nameIn setting.Numbered finished

        finished
        |> List.filter isVariant
        |> List.map (fun run -> nameIn run, everywhere run)
        |> Map.ofList

    /// The variants of all runs by every name that a table has for them.
    let all (findings: Findings) : Set<string> =
        [
            for setting in findings.Settings do
                yield! families setting |> Map.keys

            for run in findings.Runs do
                if isVariant run then
                    Tables.nameOf run
        ]
        |> set

    /// Names in the groups that figures draw: the techniques at all of their sites first ("" is its name), then each technique
    /// that has variants, with them. Where there are variants only they stand alone.
    let groups (families: Map<string, string>) (names: (string * string) list) : (string * string list) list =
        let variants, whole =
            names |> List.partition (fun (_, name) -> families.ContainsKey name)

        [
            if not whole.IsEmpty then
                "", whole |> List.map snd

            for family, own in variants |> List.groupBy (fun (_, name) -> families[name]) do
                let itself = whole |> List.filter (fun (technique, _) -> technique = family)
                family, itself @ own |> List.map snd
        ]
