// The page's behaviour: tables that sort and filter, the result files behind a number, plots, predictions side by side.
// Everything from files goes into the page as text (textContent), never as markup.
"use strict";
(() => {
    const data = JSON.parse(document.getElementById("data").textContent);
    const runById = new Map(data.runs.map(run => [run.id, run]));
    const figureByName = new Map(data.figures.map(figure => [figure.name, figure]));

    /** An element with properties and children; strings become text. */
    const make = (tag, properties = {}, ...children) => {
        const element = document.createElement(tag);
        for (const [key, value] of Object.entries(properties)) {
            if (key in element) element[key] = value;
            else element.setAttribute(key, value);
        }
        element.append(...children);
        return element;
    };

    const labelled = (words, control) => make("label", {}, words + " ", control);

    // Tables: sorting

    const sortKey = cell => {
        if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
        return cell.classList.contains("missing") ? null : cell.textContent.trim();
    };

    /** Numbers before words, and what is missing last, whatever the direction. */
    const compareKeys = (left, right, direction) => {
        if (left === null || right === null) return (left === null) - (right === null);
        if (typeof left !== typeof right) return typeof left === "number" ? -1 : 1;
        const order = typeof left === "number" ? left - right : left.localeCompare(right, "en", { numeric: true });
        return direction * order;
    };

    const sortBy = (table, header) => {
        const column = header.cellIndex;
        const state = header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
        header.setAttribute("aria-sort", state);
        const direction = state === "ascending" ? 1 : -1;
        const body = table.tBodies[0];
        const keyed = [...body.rows].map(row => [sortKey(row.cells[column]), row]);
        keyed.sort((left, right) => compareKeys(left[0], right[0], direction));
        body.append(...keyed.map(pair => pair[1]));
        chooseTabStop(table);
    };

    // Tables: filtering

    const filterRows = sheet => {
        const input = sheet.querySelector(".filter");
        const words = (input?.value ?? "").toLowerCase().split(/\s+/).filter(word => word);
        const variants = sheet.querySelector("input.variants");
        const rows = [...sheet.querySelector("tbody").rows];
        let shown = 0;
        for (const row of rows) {
            // The text of cells, apart: a word must not match across two of them.
            row.searchText ??= [...row.cells].map(cell => cell.textContent.toLowerCase()).join("\n");
            const isLeftOut = variants && !variants.checked && row.classList.contains("variant");
            row.hidden = isLeftOut || !words.every(word => row.searchText.includes(word));
            shown += !row.hidden;
        }
        sheet.querySelector(".count").textContent = shown < rows.length || words.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
        chooseTabStop(sheet.querySelector("table"));
    };

    // Tables: one tab stop for the numbers of a table; arrows move between them

    const numbersOf = row => [...row.querySelectorAll("button.cell")];

    const chooseTabStop = table => {
        const all = [...table.querySelectorAll("button.cell")];
        for (const button of all) button.tabIndex = -1;
        const first = all.find(button => !button.closest("tr").hidden);
        if (first) first.tabIndex = 0;
    };

    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

    const moveFocus = event => {
        const step = steps[event.key];
        const button = event.target.closest("button.cell");
        if (!step || !button) return;
        event.preventDefault();
        const rows = [...button.closest("tbody").rows].filter(row => !row.hidden);
        const here = button.closest("tr");
        let next;
        if (step[0] === 0) {
            const row = numbersOf(here);
            next = row[row.indexOf(button) + step[1]];
        } else {
            const column = button.closest("td, th").cellIndex;
            const row = rows[rows.indexOf(here) + step[0]];
            next = row && (row.cells[column].querySelector("button.cell") ?? numbersOf(row)[0]);
        }
        if (next) {
            button.tabIndex = -1;
            next.tabIndex = 0;
            next.focus();
        }
    };

    for (const table of document.querySelectorAll("table")) {
        for (const header of table.tHead.rows[0].cells)
            header.querySelector("button")?.addEventListener("click", () => sortBy(table, header));
        table.addEventListener("keydown", moveFocus);
        chooseTabStop(table);
        if (table.tBodies[0].rows.length > 25) table.closest(".scroll").classList.add("tall");
    }

    for (const sheet of document.querySelectorAll(".sheet")) {
        const controls = sheet.querySelectorAll(".filter, input.variants");
        if (!controls.length) continue;
        for (const control of controls) control.addEventListener("input", () => filterRows(sheet));
        filterRows(sheet);
    }

    // Tables: on a phone a row is a card, whose cells say what they are

    const phone = matchMedia("(max-width: 40rem)");

    const label = table => {
        const headings = [...table.tHead.rows[0].cells].map(cell => cell.textContent);
        for (const row of table.tBodies[0].rows)
            for (const cell of row.cells) cell.dataset.heading = headings[cell.cellIndex];
        table.classList.add("cards");
    };

    const labelAll = () => {
        if (phone.matches) document.querySelectorAll(".scroll table").forEach(label);
    };

    phone.addEventListener("change", labelAll);
    labelAll();

    // The result files behind a number

    const results = document.body.dataset.results;
    // A file of many runs is the file of each.
    const filePath = run => /\.jsonl(\.gz)?$/.test(results) ? results : `${results}/${run.file}`;
    const fileLink = run =>
        make("a", { href: filePath(run).split("/").map(encodeURIComponent).join("/") }, run.file);
    const scoreText = run => (run.score === null ? run.status : `${run.metric} ${run.score.toFixed(4)}`);
    const nameOf = run => [run.task, run.technique, run.level, `seed ${run.seed}`].filter(word => word).join(", ");

    const dialog = document.getElementById("evidence");

    const recordOf = run => {
        const details = make("details", {}, make("summary", {}, `${nameOf(run)}: ${scoreText(run)}`));
        // A thousand records are long: each is written when it is opened.
        details.addEventListener("toggle", () => {
            if (details.childElementCount === 1)
                details.append(make("p", {}, "Result file: ", fileLink(run)), make("pre", {}, JSON.stringify(run.record, null, 2)));
        });
        return details;
    };

    const showRuns = (ids, words) => {
        const runs = ids.map(id => runById.get(id)).filter(run => run);
        const close = make("form", { method: "dialog" }, make("button", {}, "Close"));
        const title = runs.length === 1 ? "1 result file" : `${runs.length} result files`;
        dialog.replaceChildren(
            make("h3", { id: "evidence-title" }, `${words}: from ${title}`),
            ...runs.map(recordOf),
            close
        );
        if (runs.length === 1) dialog.querySelector("details").open = true;
        dialog.showModal();
        dialog.scrollTop = 0;
    };

    document.addEventListener("click", event => {
        const button = event.target.closest("button.cell");
        if (button) showRuns(button.dataset.runs.split(" "), button.textContent);
        else if (event.target === dialog) dialog.close();
    });

    // Plots

    const colours = () => {
        const style = getComputedStyle(document.body);
        return { ink: style.color, paper: style.backgroundColor, line: "rgba(128, 128, 128, 0.3)" };
    };

    const axis = (description, theme, isNamed) => {
        const axis = {
            title: { text: description.title },
            type: description.log ? "log" : "linear",
            gridcolor: theme.line,
            zeroline: false,
            automargin: true
        };
        if (description.at.length) {
            axis.tickmode = "array";
            axis.tickvals = description.at;
            axis.ticktext = description.names;
            if (isNamed && !description.log) axis.range = [-0.6, description.at.length - 0.4];
        }
        return axis;
    };

    const trace = series => {
        const off = (ends, sign) => series.y.map((y, place) => (ends[place] === null ? 0 : sign * (ends[place] - y)));
        return {
            type: "scatter",
            name: series.name,
            x: series.x,
            y: series.y,
            mode: [series.joined && "lines", series.markers && "markers"].filter(part => part).join("+"),
            line: { color: series.colour, width: 1.5, dash: series.markers ? "solid" : "dash" },
            marker: { color: series.colour, symbol: series.marker, size: 9 },
            error_y: {
                type: "data",
                symmetric: false,
                array: off(series.high, 1),
                arrayminus: off(series.low, -1),
                visible: series.low.some(end => end !== null),
                color: series.colour,
                thickness: 1.5,
                width: 3
            },
            text: series.labels.map(escapeMarkup),
            customdata: series.runs,
            hovertemplate: `<b>${escapeMarkup(series.name)}</b><br>%{y:.4f}<br>%{text}<extra></extra>`
        };
    };

    // Plotly reads a little markup in texts.
    const escapeMarkup = text => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

    const isPrinting = () => matchMedia("print").matches;

    const draw = plot => {
        const figure = figureByName.get(plot.dataset.figure);
        const theme = colours();
        const isNarrow = isPrinting() || plot.clientWidth < 560;
        plot.dataset.narrow = isNarrow;
        const layout = {
            paper_bgcolor: theme.paper,
            plot_bgcolor: theme.paper,
            font: { color: theme.ink, family: getComputedStyle(document.body).fontFamily, size: 13 },
            xaxis: { ...axis(figure.x, theme, true), ...(figure.limits && { range: figure.limits.map((end, place) => Math.log10(end) + [-0.05, 0.05][place]) }) },
            yaxis: axis(figure.y, theme, false),
            margin: { l: 50, r: 10, t: 30, b: 40 },
            legend: isNarrow ? { orientation: "h", yref: "container", y: 0, yanchor: "bottom", maxheight: 0.6 } : {},
            // A legend below needs room of its own.
            height: isNarrow ? Math.max(420, 330 + 20 * figure.series.length) : undefined,
            // Paper is as wide as A4 within its margins, whatever the window is.
            width: isPrinting() ? 680 : undefined,
            hovermode: "closest",
            shapes: figure.reference === null ? [] : [{
                type: "line", xref: "paper", x0: 0, x1: 1, y0: figure.reference, y1: figure.reference,
                line: { color: "#7f7f7f", dash: "dash", width: 1 }
            }]
        };
        const canvas = plot.querySelector(".canvas");
        const settings = {
            responsive: true,
            displaylogo: false,
            // Nothing leaves the page.
            showSendToCloud: false,
            modeBarButtonsToRemove: ["lasso2d", "select2d"],
            toImageButtonOptions: { filename: figure.name }
        };
        Plotly.react(canvas, figure.series.map(trace), layout, settings);
        if (!plot.dataset.drawn) {
            plot.dataset.drawn = "yes";
            canvas.on("plotly_click", event => {
                const point = event.points[0];
                if (point.customdata) showRuns(point.customdata.split(" "), `${point.data.name}, ${point.y.toFixed(4)}`);
            });
        }
    };

    const drawn = () => document.querySelectorAll(".plot[data-drawn]:not([hidden])");
    // A plot is drawn when it comes near the view: a page may hold many.
    const watcher = new IntersectionObserver(
        entries => entries.forEach(entry => {
            if (entry.isIntersecting && !entry.target.dataset.drawn) draw(entry.target);
        }),
        { rootMargin: "600px" }
    );
    document.querySelectorAll(".plot").forEach(plot => watcher.observe(plot));

    for (const select of document.querySelectorAll(".choice select"))
        select.addEventListener("change", () => {
            for (const plot of select.closest(".figures").querySelectorAll(".plot")) {
                plot.hidden = plot.dataset.figure !== select.value;
                if (!plot.hidden) draw(plot);
            }
        });

    // A turned phone gets its legend elsewhere.
    let waiting;
    addEventListener("resize", () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => {
            for (const plot of drawn())
                if (plot.dataset.narrow !== String(plot.clientWidth < 560)) draw(plot);
        }, 150);
    });

    // Colours: the system's, or the reader's choice

    const themes = ["system", "light", "dark"];
    const themeButton = document.getElementById("theme");
    const remembered = () => {
        try { return localStorage.getItem("peft-report-theme"); } catch { return null; }
    };

    const useTheme = theme => {
        if (theme === "system") delete document.documentElement.dataset.theme;
        else document.documentElement.dataset.theme = theme;
        themeButton.textContent = `Colours: ${theme}`;
        themeButton.setAttribute("aria-label", `Colours: ${theme}. Press for the next choice.`);
        try { localStorage.setItem("peft-report-theme", theme); } catch { /* files may have no storage */ }
        drawn().forEach(draw);
    };

    let theme = themes.includes(remembered()) ? remembered() : "system";
    useTheme(theme);
    themeButton.addEventListener("click", () => {
        theme = themes[(themes.indexOf(theme) + 1) % themes.length];
        useTheme(theme);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn().forEach(draw));
    // On paper every chosen plot is drawn, in light colours.
    addEventListener("beforeprint", () => document.querySelectorAll(".plot:not([hidden])").forEach(draw));
    matchMedia("print").addEventListener("change", () => document.querySelectorAll(".plot:not([hidden])").forEach(draw));

    // Predictions side by side

    const viewer = document.getElementById("viewer");

    const options = (select, values) => {
        const before = select.value;
        select.replaceChildren(...values.map(([value, words]) => make("option", { value }, words)));
        if (values.some(([value]) => value === before)) select.value = before;
    };

    const brief = (text, length) => (text.length > length ? text.slice(0, length - 1) + "…" : text);

    const startViewer = () => {
        const task = make("select"), row = make("select"), level = make("select"), seed = make("select");
        const search = make("input", { type: "search", placeholder: "words in input or answers" });
        const differing = make("input", { type: "checkbox" });
        const previous = make("button", { type: "button" }, "Previous"), next = make("button", { type: "button" }, "Next");
        const count = make("span", { className: "count", role: "status" });
        const shown = make("div", { "aria-live": "polite" });
        let rows = [];

        const sample = () => data.samples[Number(task.value)];
        const runsOf = answers => answers.map(answer => data.runs[answer[0]]);
        const isChosen = run => (!level.value || !run.level || run.level === level.value) && (!seed.value || String(run.seed) === seed.value);
        const asked = item => item.answers.filter(answer => isChosen(data.runs[answer[0]]));

        const show = () => {
            const item = sample().rows[rows[row.selectedIndex]];
            previous.disabled = row.selectedIndex <= 0;
            next.disabled = row.selectedIndex >= rows.length - 1;
            if (!item) {
                shown.replaceChildren(make("p", {}, "No test row fits."));
                return;
            }
            const lines = asked(item).map(([run, text, score]) => {
                const { technique, level, seed, id } = data.runs[run];
                const answer = item.texts[text];
                const isRight = answer === item.target;
                return make("tr", {},
                    make("th", { scope: "row" }, technique),
                    make("td", {}, level),
                    make("td", { className: "number" },
                        make("button", { type: "button", className: "cell", "data-runs": id, title: "from 1 result file" }, String(seed))),
                    make("td", { className: "words" }, answer === "" ? "(empty)" : answer),
                    make("td", { className: "number " + (isRight ? "right" : score === 0 ? "wrong" : "") },
                        `${isRight ? "✓ " : ""}${score.toFixed(3)}`));
            });
            const heads = ["technique", "level", "seed", "prediction", "score"].map(words =>
                make("th", { scope: "col", className: words === "seed" || words === "score" ? "number" : "" }, words));
            shown.replaceChildren(
                make("div", { className: "texts" },
                    make("div", {}, make("h4", {}, "Input"), make("p", {}, item.input)),
                    make("div", {}, make("h4", {}, "Target"), make("p", {}, item.target))),
                make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Predictions for the chosen row" },
                    make("table", { className: "answers" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...lines))));
        };

        const choose = () => {
            const words = search.value.toLowerCase().split(/\s+/).filter(word => word);
            rows = sample().rows.map((item, place) => place).filter(place => {
                const item = sample().rows[place];
                const answers = asked(item);
                if (!answers.length) return false;
                if (differing.checked && new Set(answers.map(answer => answer[1])).size < 2) return false;
                const text = [item.input, item.target, ...answers.map(answer => item.texts[answer[1]])].join("\n").toLowerCase();
                return words.every(word => text.includes(word));
            });
            options(row, rows.map(place => [String(place), `${place + 1}: ${brief(sample().rows[place].input, 60)}`]));
            count.textContent = `${rows.length} of ${sample().rows.length} rows`;
            show();
        };

        const chooseTask = () => {
            const runs = sample().rows.length ? runsOf(sample().rows.flatMap(item => item.answers)) : [];
            const distinct = values => [...new Set(values)];
            options(level, [["", "all levels"], ...distinct(runs.map(run => run.level).filter(word => word)).map(word => [word, word])]);
            options(seed, [["", "all seeds"], ...distinct(runs.map(run => String(run.seed))).sort((a, b) => a - b).map(word => [word, `seed ${word}`])]);
            choose();
        };

        const step = by => {
            row.selectedIndex += by;
            show();
        };

        options(task, data.samples.map((item, place) => [String(place), item.task]));
        task.addEventListener("change", chooseTask);
        for (const control of [level, seed, differing]) control.addEventListener("change", choose);
        search.addEventListener("input", choose);
        row.addEventListener("change", show);
        previous.addEventListener("click", () => step(-1));
        next.addEventListener("click", () => step(1));
        viewer.replaceChildren(
            make("div", { className: "viewer-tools" },
                labelled("Task", task), labelled("Level", level), labelled("Seed", seed), labelled("Search", search),
                make("label", {}, differing, " only where answers differ")),
            make("div", { className: "viewer-tools" }, labelled("Test row", row), previous, next, count),
            shown);
        chooseTask();
    };

    if (data.samples.some(item => item.rows.length)) startViewer();
    else viewer.replaceChildren(make("p", {}, "There are no predictions to show."));
})();
