namespace Peft

/// What people read of a command beside its options.
type CommandHelp =
    {
        Name: string
        /// The title under which `peft --help` lists it.
        Group: string
        /// Two command lines, and what each does.
        Examples: (string * string) list
        /// Options of its union that it refuses.
        Refused: string list
        /// Options that read differently here: the first name of the union's, then names, values and text.
        Reworded: (string * (string list * string * string)) list
    }

/// The commands as `--help` tells of them.
[<RequireQualifiedAccess>]
module CommandHelp =
    let private plain group name examples : CommandHelp =
        {
            Name = name
            Group = group
            Examples = examples
            Refused = []
            Reworded = []
        }

    let private train: CommandHelp =
        { plain
              "BEGIN HERE"
              "train"
              [
                  "peft train --task topic --technique lora --output my-adapter",
                  "LoRA on the embedded topics, with the embedded model"
                  "peft train --custom reviews.csv --technique 'ia3' --model google/flan-t5-base --output my-adapter",
                  "(IA)3 on your own rows, with a model of the hub"
              ] with
            Refused = [ "--ablations"; "--no-baselines"; "--jobs"; "--dry-run" ]
            Reworded =
                [
                    "--tasks",
                    ([ "--task"; "-t" ],
                     "NAME",
                     "The task: agnews, cola, e2e, samsum (published data), topic, acceptability, attributes, dialogue, politeness, rating, question, intent, inference, extraction, passive, table (embedded data). Your own rows with --custom instead.")
                    "--techniques",
                    ([ "--technique"; "-p" ],
                     "WORDS",
                     "The technique: full, lora, 'lora(rank=8,alpha=16)', paper-lora, ia3, bitfit, prompt.")
                    "--placements",
                    ([ "--placement"; "-w" ],
                     "WORDS",
                     "Where the technique goes: all, early, late, 'random(seed=3)', 'not(self)', 'late & q,v', 'only(wo)', …. all if not given.")
                    "--levels",
                    ([ "--level"; "-l" ],
                     "NAME",
                     "Amount of training data: low (100 rows), medium (1,000), high (10,000), all-rows. low if not given; all rows of --custom.")
                    "--seeds", ([ "--seed"; "-s" ], "NUMBER", "Decides rows, weights and order. 1 if not given.")
                    "--results",
                    ([ "--results"; "-r" ], "FOLDER", "Folder for the run's result file. 'results' if not given.")
                    "--adapters",
                    ([ "--output"; "-o" ], "FOLDER", "Folder for the trained adapter. It has to be given.")
                ]
        }

    let private evaluate: CommandHelp =
        { plain
              "BEGIN HERE"
              "evaluate"
              [
                  "peft evaluate --adapter my-adapter --task topic", "the scores of an adapter on a task's test rows"
                  "peft evaluate --custom reviews.csv --predictions answers.jsonl",
                  "the embedded model alone on your rows, its answers in a file"
              ] with
            Refused = [ "TEXTS ..." ]
        }

    let private generate: CommandHelp =
        { plain
              "BEGIN HERE"
              "generate"
              [
                  "peft generate --adapter my-adapter --task topic 'Rain is on its way.'",
                  "one text, put in the task's words"
                  "peft generate --model google/flan-t5-base",
                  "asks for texts and answers line by line; an empty line ends"
              ] with
            Refused = [ "--seed"; "--test-limit"; "--predictions" ]
        }

    let private begin': CommandHelp list =
        [
            plain
                "BEGIN HERE"
                "choose"
                [
                    "peft choose --custom reviews.csv", "the best technique for your rows that ten minutes can find"
                    "peft choose --custom reviews/ --budget 2h --memory 4GiB --priority size",
                    "longer, within 4 GiB, the smallest of those that are tied"
                ]
            train
            evaluate
            generate
        ]

    let private compare: CommandHelp list =
        let group = "COMPARE TECHNIQUES"

        [
            plain
                group
                "sweep"
                [
                    "peft sweep", "the paper's five techniques on four embedded tasks"
                    "peft sweep --tasks topic passive --techniques lora ia3 bitfit --seeds 1 2 3 --results my-results",
                    "18 runs of your choice"
                ]
            plain
                group
                "search"
                [
                    "peft search --tasks topic --techniques lora ia3", "six peak rates for each"
                    "peft search --tasks topic --peaks 0.01 0.03 --output rates.csv", "two rates, the best in a file"
                ]
            plain
                group
                "table"
                [
                    "peft table --tables table1 table4 --results my-results", "two of the paper's tables"
                    "peft table --compare --results my-results", "which differences could be chance"
                ]
            plain
                group
                "report"
                [
                    "peft report --results my-results", "a page, tables and figures in the folder report"
                    "peft report --results my-results --output site --predictions 2", "elsewhere, with fewer test rows"
                ]
            plain
                group
                "compare"
                [
                    "peft compare ours.predictions.jsonl theirs.csv", "anyone's answers to the same rows"
                    "peft compare --simulate 1000", "how often equals are called different"
                ]
            plain
                group
                "recommend"
                [
                    "peft recommend --kind classification --rows 500", "the techniques, ranked by evidence"
                    "peft recommend --kind generation --rows 5000 --results my-results --why",
                    "with your own runs, and with the reasons"
                ]
            plain
                group
                "import"
                [
                    "peft import peft-results/*.json --output theirs.jsonl.gz", "peft's method_comparison as evidence"
                    "peft import samples.jsonl --technique lora --model my/model --rows 500",
                    "samples of lm-evaluation-harness"
                ]
            plain
                group
                "paper"
                [
                    "peft paper", "its Tables 5, 6 and Figure 1 recomputed, its conclusions audited"
                ]
        ]

    let private before: CommandHelp list =
        let group = "BEFORE YOU TRAIN"

        [
            plain
                group
                "doctor"
                [
                    "peft doctor", "what is found, what is amiss, and its fix"
                    "peft doctor --model google/flan-t5-base || exit", "in a script: 1 where something is broken"
                ]
            plain
                group
                "plan"
                [
                    "peft plan --model base --technique lora", "memory and time of a training of FLAN-T5-base"
                    "peft plan --model my-model --technique ia3 --placement late --sites", "with every site listed"
                ]
            plain
                group
                "params"
                [
                    "peft params --model xl --technique 'lora(rank=8)'", "trained and total parameters"
                    "peft params --paper", "the paper's Table 3 beside what is counted here"
                ]
            plain
                group
                "download"
                [
                    "peft download google/flan-t5-base", "a model, for later"
                    "peft download --tasks agnews samsum", "data sets for --data hub"
                ]
            plain
                group
                "bench"
                [
                    "peft bench --size embedded", "training steps, decoding and files on this machine"
                    "peft bench --size small --rows step --json speed.json", "training steps only, into a file"
                ]
        ]

    let private after: CommandHelp list =
        let group = "ADAPTERS AND MODELS"

        [
            plain
                group
                "adapters"
                [
                    "peft adapters my-adapters", "lists the adapters of a folder"
                    "peft adapters my-adapter --convert for-python", "as a folder that Hugging Face's peft loads"
                ]
            plain
                group
                "merge"
                [
                    "peft merge --adapter my-adapter --output merged", "adapter and base as one checkpoint"
                    "peft merge --adapter my-adapter --model google/flan-t5-base --output merged --dtype bfloat16",
                    "of a model of the hub, in half the space"
                ]
            plain
                group
                "pretrain"
                [
                    "peft pretrain --output my-model", "the embedded model's training once more"
                    "peft pretrain --output my-model --start google/flan-t5-small --text notes.txt",
                    "a checkpoint that learns from your texts too"
                ]
            plain
                group
                "completion"
                [
                    "peft completion bash > ~/.local/share/bash-completion/completions/peft", "for bash"
                    "peft completion powershell >> $PROFILE", "for PowerShell"
                ]
        ]

    /// All commands, in the order in which `peft --help` lists them.
    let all: CommandHelp list = begin' @ compare @ before @ after

    /// The options as the command tells of them: without those that it refuses.
    let options (command: CommandHelp) (all: OptionHelp list) : OptionHelp list =
        [
            for option in all do
                if not (option.IsHidden || List.contains (OptionHelp.key option) command.Refused) then
                    match List.tryFind (fst >> (=) (OptionHelp.key option)) command.Reworded with
                    | Some(_, (names, values, text)) ->
                        { option with
                            Names = names
                            Values = values
                            Text = text
                        }
                    | None -> option
        ]
