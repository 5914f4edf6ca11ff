namespace Peft

open System
open System.Text.Json

/// Where RoAd stands, and how many numbers it trains.
type RoadSettings =
    {
        Kind: TurnKind
        /// Outputs of a group; half of them are paired with the other half.
        Group: int
        Where: Targeting
    }

/// RoAd (Liao et al. 2024) as Hugging Face's peft has it: pairs of outputs are turned and stretched.
[<RequireQualifiedAccess>]
module Road =
    let private checkGroup (group: int) (site: Site) =
        if site.Out % int64 group <> 0L then
            userError $"{site.Name} has {site.Out} outputs, which are no whole number of groups of {group}."

    /// y = R (W x), with every angle at 0 and every stretch at 1 to begin with: the base.
    let adapter (settings: RoadSettings) (where: Selector) : Adapter =
        Start.wrap where (fun site inner ->
            let _, fanOut, device = Start.shape inner
            checkGroup settings.Group site
            let count = Turn.count settings.Kind fanOut

            Turned(
                inner,
                {
                    Kind = settings.Kind
                    Group = settings.Group
                    Theta = Leaf.trained (Start.zeros [ count ] device)
                    Alpha = Leaf.trained (Start.filled 1.0 count device)
                }
            ))

    let private variants =
        [
            TurnKind.PerPair, "road_1"
            TurnKind.PerOutput, "road_2"
            TurnKind.PerEntry, "road_4"
        ]

    let private variant (kind: TurnKind) =
        variants |> List.find (fst >> (=) kind) |> snd

    let private keys (settings: RoadSettings) : (string * JsonElement) list =
        [
            "variant", HuggingFaceValue.element (variant settings.Kind)
            "group_size", HuggingFaceValue.element settings.Group
            yield! HuggingFaceValue.targeting false false settings.Where
        ]

    /// peft's group where none is given.
    let private usualGroup = 64

    let private words (settings: RoadSettings) : string list =
        match Targeting.said settings.Where with
        | None -> [ $"peft={HuggingFaceValue.text (keys settings)}" ]
        | Some _ ->
            [
                $"group={settings.Group}"
                match settings.Kind with
                | TurnKind.PerPair -> ()
                | TurnKind.PerOutput -> "variant=2"
                | TurnKind.PerEntry -> "variant=4"
                yield! Option.toList (Targeting.words settings.Where)
            ]

    let rec private peft (settings: RoadSettings) : HuggingFaceForm =
        { Make.huggingFace "ROAD" (keys settings) [] with
            Names = [ ".road_theta", ".road_theta"; ".road_alpha", ".road_alpha" ]
            Where = Some settings.Where
            OnModules =
                fun modules ->
                    technique
                        { settings with
                            Where = Targeting.ofNames (List.map fst modules)
                        }
        }

    /// RoAd with these settings.
    and technique (settings: RoadSettings) : Technique =
        let isSaid = (Targeting.said settings.Where).IsSome

        let sites =
            if isSaid then
                Targeting.updated settings.Where
            else
                Targeting.selector settings.Where

        let on =
            match Targeting.names settings.Where with
            | Some names -> String.concat ", " names
            | None -> "the modules named"

        let count =
            match settings.Kind with
            | TurnKind.PerPair -> "out"
            | TurnKind.PerOutput -> "2·out"
            | TurnKind.PerEntry -> "4·out"

        let form =
            Form.atSites sites $"{count} on {on}" (fun site ->
                let each = [ Turn.count settings.Kind site.Out ]

                [
                    Branch.Behind [ Step.Scale("road_theta", each); Step.Scale("road_alpha", each) ]
                ])

        { Make.technique "road" (words settings) form (fun where _ -> adapter settings where) with
            IsSaid = isSaid
            Others = [ Convention.HuggingFace, form ]
            HuggingFace = Some(peft settings)
        }

    let private read (words: Words) : Technique =
        let group = words.Count("group", Some usualGroup)

        if group % 2 = 1 then
            refuse $"road pairs the halves of a group, and {group} has none"

        technique
            {
                Group = group
                Kind =
                    match words.Whole("variant", Some 1) with
                    | 1 -> TurnKind.PerPair
                    | 2 -> TurnKind.PerOutput
                    | 4 -> TurnKind.PerEntry
                    | other -> refuse $"road has the variant {other}: there are 1, 2 and 4"
                Where = Targeting.read "road" words |> Option.defaultValue Targeting.usual
            }

    let private readPeft (values: HuggingFaceValues) : Technique =
        let group = values.Count "group_size"

        if group % 2 = 1 then
            values.Wrong("group_size", "even")

        let kind =
            match values.Item("variant").ValueKind with
            | JsonValueKind.String ->
                let named = Json.text (values.Item "variant")

                variants |> List.tryFind (snd >> (=) named) |> Option.map fst
            | _ -> None

        match kind with
        | None -> values.Wrong("variant", "road_1, road_2 or road_4")
        | Some kind ->
            technique
                {
                    Kind = kind
                    Group = group
                    Where = values.Targeting [ "q"; "v" ] |> Targeting.sorted
                }

    /// What the name means.
    let spec: Spec =
        {
            Name = "road"
            Usage = "road(group=64,variant=1,on=q+v)"
            Source = "Liao et al. 2024"
            Summary = "Turns and stretches pairs of the outputs of q and v or other maps."
            First = "group"
            Read = read
            Examples =
                [
                    "road(group=4)"
                    "road(group=2,variant=2)"
                    "road(group=4,variant=4,on=k+wo)"
                ]
            HuggingFace =
                Some
                    {
                        Type = "ROAD"
                        Defaults =
                            """ "group_size": 64, "init_weights": true, "target_modules": null,
                                "variant": "road_1" """
                        Notes = [ "init_weights" ]
                        Read = readPeft
                    }
        }
